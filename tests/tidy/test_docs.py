"""Documents exist, their links lead somewhere, and every limit has its reason."""

import ast
import re
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_the_front_documents_exist(root):
    wanted = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/glossary.md"]
    missing = [name for name in wanted if not (root / name).is_file()]
    assert not missing, f"missing: {', '.join(missing)}"


def test_links_resolve(root, committed):
    faults = []
    for name, text in committed.items():
        if not name.endswith(".md"):
            continue
        for target in LINK.findall(text):
            path = target.partition("#")[0]
            if not path or "://" in path or path.startswith("mailto:"):
                continue
            if not ((root / name).parent / path).exists():
                faults.append(f"{name}: {target}")
    assert not faults, "\n".join(faults)


def _undocumented(tree: ast.Module) -> list[str]:
    """Assigned names of a module that no string follows."""
    faults = []
    for index, node in enumerate(tree.body):
        if isinstance(node, ast.AnnAssign):
            target = node.target
        elif isinstance(node, ast.Assign):
            target = node.targets[0]
        else:
            continue
        after = tree.body[index + 1] if index + 1 < len(tree.body) else None
        if not (
            isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            faults.append(f"line {node.lineno}: {ast.unparse(target)} has no reason")
    return faults


def test_every_limit_has_a_reason(root: Path):
    faults = [
        f"{path.name}: {fault}"
        for path in sorted((root / "src/thesan/core/model").glob("*limits.py"))
        for fault in _undocumented(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not faults, "\n".join(faults)


def test_a_bare_limit_is_seen():
    assert _undocumented(ast.parse('A = 1\n"""Because."""\nB = 2\n')) == ["line 3: B has no reason"]
