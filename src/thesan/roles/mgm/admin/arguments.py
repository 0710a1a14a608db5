"""Arguments of admin verbs: taken one by one, checked, and nothing left over.

What comes from the command line is text, what comes from a program may be typed; both are taken.
A misspelt argument is an error, never ignored.
"""

import errno
from typing import Any

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import ADMIN_TEXT_BYTES_MAX
from thesan.core.model.units import parse_byte_count

_MISSING = object()
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
COUNT_MAX = 2**63 - 1


class Arguments:
    """One request's arguments. Take what the verb knows, then call `done`."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._left = dict(values)

    def _take(self, name: str, default: object) -> Any:
        value = self._left.pop(name, _MISSING)
        if value is _MISSING or value is None:
            if default is _MISSING:
                raise OperationError(errno.EINVAL, f"argument {name!r} is missing")
            return default
        return value

    def text(self, name: str, default: object = _MISSING) -> str:
        """A text of at most ADMIN_TEXT_BYTES_MAX without control characters."""
        value = self._take(name, default)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise OperationError(errno.EINVAL, f"argument {name!r} is not a text")
        if len(value.encode(errors="replace")) > ADMIN_TEXT_BYTES_MAX:
            raise OperationError(errno.E2BIG, f"argument {name!r} is too long")
        if value and not value.isprintable():
            raise OperationError(errno.EINVAL, f"argument {name!r} has control characters in it")
        return value

    def number(self, name: str, default: object = _MISSING, maximum: int = COUNT_MAX) -> int:
        """A whole number from 0 to `maximum`."""
        value = self._take(name, default)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise OperationError(
                errno.EINVAL, f"argument {name!r} is not a number from 0 to {maximum}"
            )
        return value

    def byte_count(self, name: str, default: object = _MISSING) -> int:
        """Bytes: a number, or a text like `10G`, `64Ki`."""
        value = self._take(name, default)
        if isinstance(value, str):
            value = parse_bytes(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= COUNT_MAX:
            raise OperationError(errno.EINVAL, f"argument {name!r} is not a byte count")
        return value

    def numbers(self, name: str, maximum: int = COUNT_MAX) -> list[int]:
        """A list of numbers, or text `1,2,3`; empty when absent."""
        value = self._take(name, [])
        if isinstance(value, str):
            value = [part for part in value.split(",") if part]
        if not isinstance(value, list):
            raise OperationError(errno.EINVAL, f"argument {name!r} is not a list")
        return [Arguments({name: one}).number(name, maximum=maximum) for one in value]

    def flag(self, name: str, default: bool = False) -> bool:
        """true or false."""
        value = self._take(name, default)
        if isinstance(value, str):
            word = value.lower()
            value = True if word in _TRUE else False if word in _FALSE else value
        if not isinstance(value, bool):
            raise OperationError(errno.EINVAL, f"argument {name!r} is not true or false")
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: object = _MISSING) -> str:
        """One of some words."""
        value = self.text(name, default)
        if value not in allowed:
            raise OperationError(
                errno.EINVAL, f"{name} is {value!r}, but may be {', '.join(allowed)}"
            )
        return value

    def has(self, name: str) -> bool:
        """True when the argument was given and not yet taken."""
        return self._left.get(name) is not None

    def done(self) -> None:
        """Refuse what nobody took. Raises OperationError EINVAL."""
        unknown = [name for name, value in self._left.items() if value is not None]
        if unknown:
            listed = ", ".join(repr(name[:40]) for name in unknown[:5])
            raise OperationError(errno.EINVAL, f"unknown argument: {listed}")


def parse_bytes(text: str) -> int:
    """`10G`, `64Ki`, `4096` to bytes. Raises OperationError EINVAL."""
    try:
        count = parse_byte_count(text[:40])
    except (ValueError, OverflowError) as error:
        raise OperationError(errno.EINVAL, str(error)) from error
    if not 0 <= count <= COUNT_MAX:
        raise OperationError(errno.EINVAL, f"{text[:40]!r} is more bytes than there are")
    return count
