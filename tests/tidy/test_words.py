"""Nothing half done and nothing of one person's machine is committed."""

import re
from pathlib import PurePosixPath

MARKS = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
MACHINE = re.compile(
    r"(?<![\w.~-])/(?:ro" + r"ot|wo" + r"rk)(?:/[\w.]|(?=[\s\"'`:,]|$))", re.MULTILINE
)
REGISTRY = re.compile(r"https?://[^\s\"'`>)]*(?:py" + r"pi\.|/sim" + r"ple\b|pythonho" + r"sted)")
TICKET = re.compile(r"\b[Ii]ss" + r"ue \d+\b")

TEXT_SUFFIXES = {"", ".py", ".md", ".toml", ".txt", ".cfg", ".yml", ".yaml", ".sh", ".service"}


def _faults(committed: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {match.group().strip()}"
        for name, text in committed.items()
        if PurePosixPath(name).suffix in TEXT_SUFFIXES
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line)) is not None
    ]


def test_nothing_is_left_to_do(committed):
    assert not (faults := _faults(committed, MARKS)), "\n".join(faults)


def test_no_path_of_one_machine(committed):
    assert not (faults := _faults(committed, MACHINE)), "\n".join(faults)


def test_no_package_registry(committed):
    assert not (faults := _faults(committed, REGISTRY)), "\n".join(faults)


def test_no_ticket_numbers(committed):
    assert not (faults := _faults(committed, TICKET)), "\n".join(faults)


def test_no_large_file(root, committed):
    faults = [n for n in committed if (root / n).stat().st_size > 512 * 1024]
    assert not faults, "\n".join(faults)


def test_the_patterns_bite():
    assert MARKS.search("# TO" + "DO later")
    assert MACHINE.search("cd /ro" + "ot/thesan")
    assert MACHINE.search("'/wo" + "rk'")
    assert not MACHINE.search("https://host/wo" + "rk/x")
    assert not MACHINE.search("/network/a")
    assert REGISTRY.search("https://files.pythonho" + "sted.org/x")
    assert TICKET.search("see iss" + "ue 2")
