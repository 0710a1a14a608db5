"""`thesan keytab create | add | show`, and reading a keytab safely for the daemons."""

import argparse
import os
import secrets
import stat
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column, show
from thesan.core.authority.keytab import (
    Key,
    Keytab,
    add_key,
    check_keytab_mode,
    format_keytab,
    make_keytab,
    parse_keytab,
)
from thesan.core.model.errors import ConfigError
from thesan.core.model.limits import KEYTAB_BYTES_MAX

SECRET_BYTES: Final = 32
"""Length of a key: the block of HMAC-SHA256's strength."""
BEGIN_SECONDS: Final = 3600
"""Time in which the operator brings a new key to every daemon, before it is used."""
_DAY_SECONDS: Final = 86400
_SPAN_SECONDS_MAX: Final = 100 * 365 * _DAY_SECONDS
"""A later beginning or end is a slip of the finger."""


def create_keytab(path: Path, days: int = 0) -> None:
    """Write a keytab with one new key, mode 0600. `days` 0: it never expires.

    Raises ConfigError when the file exists: a second key is added with `keytab add`.
    """
    now = int(time.time())
    key = Key(
        number=secrets.randbits(62) + 1,  # not 0, and with room above for those of `keytab add`
        secret=secrets.token_bytes(SECRET_BYTES),
        created_s=now,
        expires_s=_end(now, days),
    )
    _write_new(path, format_keytab(make_keytab([key])))


def extend_keytab(path: Path, begin_seconds: int = BEGIN_SECONDS, days: int = 0) -> Key:
    """Add a new key that signs in `begin_seconds` from now; the file is replaced at once, with
    the owner that it had, mode 0600. `days` (from its beginning) 0: it never expires.

    Raises ConfigError: the file is unusable or not ours, or another process adds a key too.
    """
    path = path.resolve()  # replaced is the file, not a link to it
    beside = path.with_name(path.name + ".new")
    try:
        # Made before the file is read: who adds at the same time does not lose us our key.
        beside.touch(mode=stat.S_IRUSR | stat.S_IWUSR, exist_ok=False)
    except FileExistsError as error:
        raise ConfigError(
            f"{beside} exists: another `keytab add` runs, or was killed: nothing was changed"
        ) from error
    except OSError as error:
        raise ConfigError(f"keytab {path}: {error.strerror}") from error
    try:
        before, status = _read(path)
        begins_s = int(time.time()) + begin_seconds
        secret = secrets.token_bytes(SECRET_BYTES)
        after = add_key(before, secret, begins_s, _end(begins_s, days))
        _fill(beside, after, status)
        beside.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise ConfigError(f"keytab {path}: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"keytab {path}: {error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return max(parse_keytab(after).keys, key=lambda key: key.number)


def read_keytab(path: Path) -> Keytab:
    """Read and check a keytab. Raises ConfigError that names the file."""
    try:
        return parse_keytab(_read(path)[0])
    except OSError as error:
        raise ConfigError(f"keytab {path}: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"keytab {path}: {error}") from error


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    """Raises OSError, and ConfigError for a file that others may touch."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        check_keytab_mode(status.st_mode)
        return file.read(KEYTAB_BYTES_MAX + 1), status


def _end(begins_s: int, days: int) -> int:
    """Second of expiry, 0 for never."""
    return begins_s + days * _DAY_SECONDS if days else 0


def _fill(path: Path, data: bytes, like: os.stat_result) -> None:
    """Write our own file durably and give it the owner of `like`. Raises OSError."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        own = os.fstat(file.fileno())
        if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid):
            # root adds the key; the daemon that runs as somebody else has to read it.
            os.fchown(file.fileno(), like.st_uid, like.st_gid)
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, data: bytes) -> None:
    try:
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR
        )
    except FileExistsError as error:
        raise ConfigError(f"keytab {path} exists: nothing was changed") from error
    except OSError as error:
        raise ConfigError(f"keytab {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def run(context: Context, argv: list[str]) -> int:
    """`keytab create PATH [--days N]`, `keytab add PATH [--begin SECONDS] [--days N]`,
    `keytab show PATH` (never prints a secret)."""
    options = _parser().parse_args(argv)
    if options.verb == "show":
        now_s = int(time.time())
        print(show(context, _records(read_keytab(options.path), now_s), _COLUMNS))
        return 0
    if options.verb == "create":
        create_keytab(options.path, options.days)
        said = f"written: {options.path}"
    else:
        key = extend_keytab(options.path, options.begin, options.days)
        said = (
            f"added to {options.path}: key {key.number}, which signs from {_time(key.created_s)}\n"
            "Until then: the same file to every daemon, and restart them all, in any order."
        )
    if context.output is Output.TABLE:
        print(said, file=sys.stderr)
    return 0


_COLUMNS: Final = [
    Column("id", "id"),
    Column("from", "from"),
    Column("until", "until"),
    Column("use", "use", "left"),
]


def _parser() -> argparse.ArgumentParser:
    top = parser("keytab", "Keys by which thesan's daemons prove themselves to each other.")
    verbs = top.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("create", help="write a new keytab (mode 0600)")
    add = verbs.add_parser("add", help="add a key that begins to sign later")
    view = verbs.add_parser("show", help="list the keys, without the secrets, and which one signs")
    for verb in (create, add, view):
        verb.add_argument("path", type=Path)
    for verb in (create, add):
        verb.add_argument("--days", type=_days, default=0, help="life of the key; 0: no end")
    add.add_argument(
        "--begin",
        type=_seconds,
        default=BEGIN_SECONDS,
        metavar="SECONDS",
        help=f"it signs in so many seconds from now ({BEGIN_SECONDS}): by then every daemon must "
        "run with the new file",
    )
    return top


def _seconds(text: str) -> int:
    """A span of an option. Raises ValueError, ArgumentTypeError."""
    seconds = int(text)
    if not 0 <= seconds <= _SPAN_SECONDS_MAX:
        raise argparse.ArgumentTypeError("must be between 0 and 100 years")
    return seconds


def _days(text: str) -> int:
    """A life of an option. Raises ValueError, ArgumentTypeError."""
    return _seconds(str(int(text) * _DAY_SECONDS)) // _DAY_SECONDS


def _records(keytab: Keytab, now_s: int) -> list[dict[str, object]]:
    """What `show` tells of each key, newest first."""
    valid = keytab.valid(now_s)
    records: list[dict[str, object]] = []
    for key in keytab.keys:
        if key not in valid:
            use = "none: expired"
        elif key is valid[0]:
            use = "signs"
        elif key.created_s > now_s:
            use = f"verifies, signs from {_time(key.created_s)}"
        else:
            use = "verifies"
        records.append(
            {
                "id": key.number,
                "created": key.created_s,
                "expires": key.expires_s,
                "from": _time(key.created_s),
                "until": _time(key.expires_s) if key.expires_s else "",
                "use": use,
            }
        )
    return records


def _time(seconds: int) -> str:
    """UTC, which is the same on every host; the number itself where there is no such year."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds)
