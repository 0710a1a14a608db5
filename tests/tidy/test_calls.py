"""Calls that ruff can't ban, because it sees names and not methods or places."""

import ast
from collections.abc import Iterator

REAL = ("src/thesan/worlds/real/", "src/thesan/cli/")
SIMULATED = "src/thesan/worlds/simulated/"
LOOP = f"{SIMULATED}loop.py"

METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "create_task": ("io.tasks.TaskOwner starts tasks", ("src/thesan/io/tasks.py", LOOP)),
    "ensure_future": ("io.tasks.TaskOwner starts tasks", ()),
    "TaskGroup": ("it cancels in address order; use io.tasks.TaskOwner", ()),
    "as_completed": ("its order is that of a set", ()),
    "run_in_executor": ("threads live behind ports, in the worlds", (*REAL, SIMULATED)),
    "to_thread": ("threads live behind ports, in worlds.real", REAL),
    "run_coroutine_threadsafe": ("threads live behind ports, in worlds.real", REAL),
    "utcnow": ("take now as an argument, or ask ports.clock", ()),
    "fromtimestamp": ("only the cli renders dates", ("src/thesan/cli/",)),
}
"""Called name -> (why not, files or folders where it is allowed)."""

FREE_FUNCTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "id": ("addresses differ from run to run", ()),
    "hash": ("str hashes differ from run to run", ("src/thesan/worlds/simulated/",)),
    "eval": ("no code from text", ()),
    "exec": ("no code from text", ()),
    "open": ("files are behind ports.disk", REAL),
    "print": ("only the cli prints", ("src/thesan/cli/",)),
    "input": ("only the cli asks", ("src/thesan/cli/",)),
}


def _calls(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """(line, called name, whether it is a bare name) of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.lineno, node.func.attr, False
            elif isinstance(node.func, ast.Name):
                yield node.lineno, node.func.id, True


def test_banned_calls(package):
    faults = []
    for source in package:
        for line, name, bare in _calls(source.tree):
            rule = METHODS.get(name) or (FREE_FUNCTIONS.get(name) if bare else None)
            if rule is not None and not source.name.startswith(rule[1]):
                faults.append(f"{source.name}:{line}: {name}(): {rule[0]}")
    assert not faults, "\n".join(faults)


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("set", "frozenset")
    )


def test_no_walk_over_a_set(package):
    """Its order changes with the hash seed: sort it, or use a dict."""
    faults = []
    for source in package:
        for node in ast.walk(source.tree):
            walked = node.iter if isinstance(node, ast.For | ast.comprehension) else None
            if walked is not None and _is_set(walked):
                faults.append(f"{source.name}:{walked.lineno}: walks over a set")
    assert not faults, "\n".join(faults)


def test_no_idle_assertion(python):
    faults = [
        f"{source.name}:{node.lineno}: asserts a constant"
        for source in python
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assert)
        and isinstance(node.test, ast.Constant)
        and bool(node.test.value)
    ]
    assert not faults, "\n".join(faults)


def test_no_silent_catch(package):
    """`except Exception: pass` hides what the simulation is there to find."""
    faults = [
        f"{source.name}:{node.lineno}: swallows every error"
        for source in package
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and all(isinstance(item, ast.Pass | ast.Continue) for item in node.body)
    ]
    assert not faults, "\n".join(faults)
