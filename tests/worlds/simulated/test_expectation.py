"""The plain model answers as POSIX does: compared with a real directory."""

import errno
import random
from pathlib import Path

import pytest

from thesan.worlds.simulated.expectation import Expectation


def _errno_of(work) -> int:
    try:
        work()
    except OSError as error:
        return error.errno
    return 0


def _put(path: Path, exclusive: bool) -> int:
    return _errno_of(lambda: path.open("x" if exclusive else "w").close())


def _rename(old: Path, new: Path) -> int:
    # Linux refuses EEXIST where POSIX leaves the choice; thesan says ENOTEMPTY.
    found = _errno_of(lambda: old.rename(new))
    return errno.ENOTEMPTY if found == errno.EEXIST else found


@pytest.mark.parametrize("seed", range(30))
def test_against_a_real_directory(tmp_path, seed):
    dice = random.Random(seed)
    top = str(tmp_path)
    model = Expectation(top)
    names = ["a", "b", "a/c", "a/d", "b/c", "a/c/e"]
    for number in range(150):
        one, two = (f"{top}/{dice.choice(names)}" for _ in range(2))
        parents = [path.rpartition("/")[0] for path in (one, two)]
        if any(parent not in model.directories for parent in parents):
            continue
        verb = dice.choice(["put", "rm", "mkdir", "rmdir", "mv", "get"])
        where = Path(one)
        if verb == "put":
            exclusive = dice.random() < 0.5
            wanted = model.of_put(one, exclusive=exclusive)
            assert _put(where, exclusive) == wanted
            if not wanted:
                model.put(one, str(number))
        elif verb == "rm":
            wanted = model.of_remove(one)
            assert _errno_of(where.unlink) == wanted
            if not wanted:
                model.remove(one)
        elif verb == "mkdir":
            wanted = model.of_make_directory(one)
            assert _errno_of(where.mkdir) == wanted
            if not wanted:
                model.make_directory(one)
        elif verb == "rmdir":
            wanted = model.of_remove_directory(one)
            assert _errno_of(where.rmdir) == wanted
            if not wanted:
                model.remove_directory(one)
        elif verb == "mv" and not one.startswith(f"{two}/"):
            # Onto an own ancestor Linux answers ENOTEMPTY before it looks further.
            wanted = model.of_rename(one, two)
            assert _rename(where, Path(two)) == wanted
            if not wanted:
                model.rename(one, two)
        elif verb == "get":
            assert _errno_of(where.read_bytes) == model.of_get(one)
    found = {str(path): path.is_dir() for path in tmp_path.rglob("*")}
    wanted_tree = dict.fromkeys(model.files, False) | dict.fromkeys(model.directories, True)
    del wanted_tree[top]
    assert found == wanted_tree
    for directory in model.directories:
        assert sorted(model.children(directory)) == sorted(
            p.name for p in Path(directory).iterdir()
        )


def test_taint_forgets_a_subtree():
    model = Expectation("/t")
    model.make_directory("/t/d")
    model.put("/t/d/f", "x.1.1")
    model.put("/t/dd", "x.2.1")
    model.taint("/t/d")
    assert list(model.files) == ["/t/dd"]
    assert model.is_tainted("/t/d/new")
    assert not model.is_tainted("/t/dd")
