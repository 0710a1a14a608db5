"""Tests that may not run beside each other do not: xdist's groups work.

With a pytest that xdist does not know, groups are ignored in silence (seen: pytest 9.2 with xdist
3.8), and two clusters of real processes fight for the machine.
"""

import subprocess
import sys
from pathlib import Path

MANY = """
import os
from pathlib import Path
import pytest

@pytest.mark.xdist_group("machine")
@pytest.mark.parametrize("number", range(8))
def test_alike(number):
    Path(f"{number}.pid").write_text(str(os.getpid()))

@pytest.mark.parametrize("number", range(8))
def test_another(number):
    pass
"""


def test_a_group_runs_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "test_many.py").write_text(MANY, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    processes = {path.read_text(encoding="utf-8") for path in tmp_path.glob("*.pid")}
    assert len(processes) == 1
