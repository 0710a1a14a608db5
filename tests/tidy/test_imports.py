"""core is pure: what it may import is a list, not a feeling.

import-linter forbids modules by name; an allow-list needs this test.
"""

import ast

CORE_MODULES = {
    "base64",
    "binascii",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "errno",
    "functools",
    "google_crc32c",
    "hashlib",
    "heapq",
    "hmac",
    "itertools",
    "math",
    "msgspec",
    "operator",
    "re",
    "struct",
    "thesan",
    "typing",
    "zlib",
    "zlib_ng",
}


def _imported(tree: ast.Module) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.lineno, "." * node.level + (node.module or "")))
    return found


def test_core_imports_value_modules_only(package):
    faults = [
        f"{source.name}:{line}: imports {module}"
        for source in package
        if source.name.startswith("src/thesan/core/")
        for line, module in _imported(source.tree)
        if module.partition(".")[0] not in CORE_MODULES
    ]
    assert not faults, "\n".join(faults)


def test_imports_are_absolute(package):
    faults = [
        f"{source.name}:{line}: relative import"
        for source in package
        for line, module in _imported(source.tree)
        if module.startswith(".")
    ]
    assert not faults, "\n".join(faults)


def test_worlds_are_wired_in_the_cli_only(package):
    """import-linter keeps the floors apart; below cli nobody may even name a world."""
    faults = [
        f"{source.name}:{line}: imports {module}"
        for source in package
        if not source.name.startswith(("src/thesan/cli/", "src/thesan/worlds/"))
        for line, module in _imported(source.tree)
        if module.startswith("thesan.worlds") or module.startswith("thesan.cli")
        if source.name not in ("src/thesan/__init__.py", "src/thesan/__main__.py")
    ]
    assert not faults, "\n".join(faults)
