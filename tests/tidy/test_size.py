"""Files and functions stay short enough to be read in one go."""

import ast

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_files_are_short(python):
    faults = [
        f"{source.name}: {count} lines, at most {FILE_LINES_MAX}"
        for source in python
        if (count := len(source.text.splitlines())) > FILE_LINES_MAX
    ]
    assert not faults, "\n".join(faults)


def test_functions_are_short(python):
    faults = [
        f"{source.name}:{node.lineno}: {node.name} has {count} lines, at most {FUNCTION_LINES_MAX}"
        for source in python
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := _body_lines(node)) > FUNCTION_LINES_MAX
    ]
    assert not faults, "\n".join(faults)


def test_the_docstring_does_not_count():
    tree = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1\n')
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert _body_lines(function) == 2
