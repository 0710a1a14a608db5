"""The fuzzer as a module: it is a script with neighbours, so its folder must be on the path."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def fuzzer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tests/fuzz/fuzz_wire.py."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("fuzz_wire")
