"""The table of failures is whole, and every test that it names is there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
ROWS = 54
NOT_BUILT = "not built yet: "


def rows() -> list[list[str]]:
    text = (TESTS / "matrix.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(cell: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", cell)


def test_every_row_is_there() -> None:
    assert [int(row[0]) for row in rows()] == list(range(1, ROWS + 1))


def test_every_row_has_a_test_or_says_what_is_not_built() -> None:
    for row in rows():
        assert named(row[3]) or row[3].startswith(NOT_BUILT), row


def test_every_named_test_exists() -> None:
    functions: dict[str, set[str]] = {}
    for row in rows():
        for path, name in named(row[3]):
            if path not in functions:
                tree = ast.parse((TESTS.parent / path).read_text(encoding="utf-8"))
                functions[path] = {
                    node.name for node in tree.body if isinstance(node, ast.FunctionDef)
                }
            assert name in functions[path], f"row {row[0]}: {path}::{name}"


def test_the_netns_tests_are_all_in_the_table() -> None:
    known = {(path, name) for row in rows() for path, name in named(row[3])}
    for path in sorted((TESTS / "system" / "netns").glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert (str(path.relative_to(TESTS.parent)), node.name) in known
