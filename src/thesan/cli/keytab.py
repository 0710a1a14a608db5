"""`thesan keytab create | show`, and reading a keytab safely for the daemons."""

import os
import secrets
import stat
import sys
import time
from pathlib import Path

from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column, show
from thesan.core.authority.keytab import (
    Key,
    Keytab,
    check_keytab_mode,
    format_keytab,
    make_keytab,
    parse_keytab,
)
from thesan.core.model.errors import ConfigError
from thesan.core.model.limits import KEYTAB_BYTES_MAX

SECRET_BYTES = 32
"""Length of a key: the block of HMAC-SHA256's strength."""


def create_keytab(path: Path, days: int = 0) -> None:
    """Write a keytab with one new key, mode 0600. `days` 0: it never expires.

    Raises ConfigError when the file exists: a second key is added with `keytab create --add`.
    """
    now = int(time.time())
    key = Key(
        number=secrets.randbits(63),
        secret=secrets.token_bytes(SECRET_BYTES),
        created_s=now,
        expires_s=now + days * 86400 if days else 0,
    )
    _write_new(path, format_keytab(make_keytab([key])))


def read_keytab(path: Path) -> Keytab:
    """Read and check a keytab. Raises ConfigError that names the file."""
    try:
        with path.open("rb") as file:
            check_keytab_mode(os.fstat(file.fileno()).st_mode)
            return parse_keytab(file.read(KEYTAB_BYTES_MAX + 1))
    except OSError as error:
        raise ConfigError(f"keytab {path}: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"keytab {path}: {error}") from error


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
    """`keytab create PATH [--days N]`, `keytab show PATH` (never prints a secret)."""
    top = parser("keytab", "Keys by which thesan's daemons prove themselves to each other.")
    verbs = top.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("create", help="write a new keytab (mode 0600)")
    create.add_argument("path", type=Path)
    create.add_argument("--days", type=int, default=0, help="life of the key; 0: no end")
    view = verbs.add_parser("show", help="list the keys, without the secrets")
    view.add_argument("path", type=Path)
    options = top.parse_args(argv)
    if options.verb == "create":
        create_keytab(options.path, options.days)
        if context.output is Output.TABLE:
            print(f"written: {options.path}", file=sys.stderr)
        return 0
    records = [
        {"id": key.number, "created": key.created_s, "expires": key.expires_s}
        for key in read_keytab(options.path).keys
    ]
    print(
        show(
            context,
            records,
            [Column("id", "id"), Column("created", "created"), Column("expires", "expires")],
        )
    )
    return 0
