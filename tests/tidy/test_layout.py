"""Every name says what it holds, every file begins with its charter and has its own test."""

import ast
from pathlib import PurePosixPath

BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "base", "stuff", "tools"}

UNTESTED: set[str] = set()
"""Source files without a test file of their own. It may only shrink."""


def _has_behaviour(tree: ast.Module) -> bool:
    """Whether a file holds a function with a body: types, constants and promises have none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if ast.get_docstring(node, clean=False) is not None:
                body = body[1:]
            if not all(
                isinstance(item, ast.Expr)
                and isinstance(item.value, ast.Constant)
                and item.value.value is ...
                for item in body
            ):
                return True
    return False


def _test_name(name: str) -> str:
    """Where the test of src/thesan/a/b.py is: tests/a/test_b.py."""
    path = PurePosixPath(name).relative_to("src/thesan")
    if path.name == "__init__.py":
        folder = path.parent
        return str(PurePosixPath("tests", folder, f"test_{folder.name or 'thesan'}_package.py"))
    return str(PurePosixPath("tests", path.parent, f"test_{path.name}"))


def test_no_room_for_odds_and_ends(python):
    faults = [
        source.name
        for source in python
        if any(
            part.removesuffix(".py").removeprefix("test_") in BANNED_NAMES
            for part in PurePosixPath(source.name).parts
        )
    ]
    assert not faults, "\n".join(faults)


def test_every_file_has_a_charter(python):
    faults = [
        source.name
        for source in python
        if source.text.strip() and ast.get_docstring(source.tree) is None
    ]
    assert not faults, "\n".join(faults)


def test_every_source_file_has_its_test(root, package):
    faults = []
    for source in package:
        if not _has_behaviour(source.tree):
            continue
        wanted = _test_name(source.name)
        if (root / wanted).is_file():
            if source.name in UNTESTED:
                faults.append(f"{source.name} has {wanted} now: take it off UNTESTED")
        elif source.name not in UNTESTED:
            faults.append(f"{source.name} needs {wanted}")
    gone = UNTESTED - {source.name for source in package}
    faults += [f"{name} is gone: take it off UNTESTED" for name in sorted(gone)]
    assert not faults, "\n".join(faults)


def test_tests_are_no_package(python):
    faults = [s.name for s in python if s.name.startswith("tests/") and "__init__" in s.name]
    assert not faults, "\n".join(faults)


def test_what_counts_as_behaviour():
    assert not _has_behaviour(ast.parse('class P:\n    def f(self) -> int:\n        """D."""\n'))
    assert not _has_behaviour(ast.parse("def f(): ..."))
    assert _has_behaviour(ast.parse("def f(): return 1"))


def test_where_a_test_is_looked_for():
    assert _test_name("src/thesan/io/tasks.py") == "tests/io/test_tasks.py"
    assert _test_name("src/thesan/__init__.py") == "tests/test_thesan_package.py"
