"""The source tree, read once, for tests that judge the text of thesan itself."""

import ast
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path
    name: str
    """Path relative to the repository, with slashes."""
    text: str
    tree: ast.Module


def _read(root: Path, folder: str) -> list[Source]:
    found = []
    for path in sorted((root / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root).as_posix()
        found.append(Source(path, name, text, ast.parse(text, name)))
    return found


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def package(root: Path) -> list[Source]:
    """Every file of src/thesan."""
    return _read(root, "src/thesan")


@pytest.fixture(scope="session")
def python(root: Path, package: list[Source]) -> list[Source]:
    """Every Python file: the package, its tests and its benchmarks."""
    return [*package, *_read(root, "tests"), *_read(root, "benchmarks")]


@pytest.fixture(scope="session")
def committed(root: Path) -> dict[str, str]:
    """Name and text of every file under version control; binary files are left out."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: what is committed can't be known")
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True
    ).stdout.decode()
    texts = {}
    for name in sorted(filter(None, listing.split("\0"))):
        path = root / name
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        if b"\0" not in data[:4096]:
            texts[name] = data.decode("utf-8", errors="replace")
    return texts
