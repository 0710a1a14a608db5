"""The package itself: a version, and a library that is imported when it is first used."""

import subprocess
import sys

import pytest

import thesan
from thesan.roles.client.file import File
from thesan.roles.client.filesystem import Filesystem
from thesan.worlds.real import library


def test_public_names():
    assert thesan.__version__
    assert thesan.Filesystem is Filesystem
    assert thesan.File is File
    assert thesan.connect is library.connect
    assert thesan.open is library.open_file
    assert {"connect", "open", "Filesystem", "File"} <= set(dir(thesan))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = thesan.nothing


def test_import_costs_nothing():
    code = "import sys, thesan; sys.exit(any(m.startswith('thesan.') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
