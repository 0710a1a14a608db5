"""thesan: distributed disk storage in which losing the master is a non-event.

For programs: `thesan.connect(url)`, `await thesan.open(url, mode)`, `thesan.Filesystem`; they are
imported when first used, so that a daemon or a test pays nothing for them.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LIBRARY = "thesan.worlds.real.library"
_NAMES = {"connect": "connect", "open": "open_file", "Filesystem": "Filesystem", "File": "File"}
"""Public name -> its name in the library."""


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LIBRARY), _NAMES[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
