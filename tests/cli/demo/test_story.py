"""The comparisons that the story rests on: a story that can't fail shows nothing."""

from pathlib import Path

import pytest

from thesan.cli.demo.story import Disagreement, Story, _command, _compare, _pick_tree


def _trees(tmp_path: Path) -> tuple[Path, Path]:
    left, right = tmp_path / "left", tmp_path / "right"
    for root in (left, right):
        (root / "d").mkdir(parents=True)
        (root / "d" / "file").write_bytes(b"12345")
    return left, right


def test_equal_trees_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = Story()
    _compare(story, *_trees(tmp_path), "what")
    assert (story.files_compared, story.bytes_compared) == (1, 5)
    assert "every byte equal" in capsys.readouterr().out


def test_one_wrong_byte_fails(tmp_path: Path) -> None:
    left, right = _trees(tmp_path)
    (right / "d" / "file").write_bytes(b"12346")
    with pytest.raises(Disagreement, match="differs"):
        _compare(Story(), left, right, "what")


def test_a_missing_or_an_extra_file_fails(tmp_path: Path) -> None:
    left, right = _trees(tmp_path)
    (right / "extra").touch()
    with pytest.raises(Disagreement, match="one side only, such as extra"):
        _compare(Story(), left, right, "what")
    with pytest.raises(Disagreement, match="one side only"):
        _compare(Story(), right, left, "what")


def test_a_failing_command_fails_the_story() -> None:
    with pytest.raises(Disagreement, match="status 3"):
        _command(["sh", "-c", "exit 3"], {})


def test_the_tree_is_real(tmp_path: Path) -> None:
    tree = _pick_tree(tmp_path)
    files = [path for path in tree.rglob("*") if path.is_file()]
    assert len(files) > 300
    assert (tree / "asyncio" / "events.py").is_file()
