"""How the command begins."""

import subprocess
import sys

INTERRUPTED = """
import runpy, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "thesan.cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
runpy.run_module("thesan", run_name="__main__")
"""


def test_ctrl_c_while_modules_are_imported() -> None:
    argv = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
