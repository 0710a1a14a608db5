"""The keytab: shared keys of an instance's daemons, in the line format of XRootD's sss.

`0 u:daemon g:daemon n:thesan N:<id> c:<created> e:<expires> f:0 k:<hex>`, one key a line; blank
lines and lines that start with `#` are skipped. Several keys may be there. Every one that has not
expired verifies; of those that have begun the newest signs. A key that begins later is in every
daemon's hands before the first of them uses it, which is how keys are rotated.
"""

from typing import Final

import msgspec

from thesan.core.model.errors import ConfigError
from thesan.core.model.limits import KEYTAB_BYTES_MAX, KEYTAB_KEYS_MAX

SECRET_BYTES_MIN: Final = 16
SECRET_BYTES_MAX: Final = 128
"""Length of a key; sss uses 16 to 128 bytes, we make 32."""
_FIELD_BYTES_MAX: Final = 64
_NUMBER_MAX: Final = 2**63 - 1
_FILE_TYPE: Final = 0o170000  # S_IFMT of inode(7)
_REGULAR: Final = 0o100000  # S_IFREG
_OTHERS: Final = 0o077  # S_IRWXG | S_IRWXO


class Key(msgspec.Struct, frozen=True):
    """One line of the keytab."""

    number: int
    """Key id `N:`; greater than 0, unique in the file."""
    secret: bytes
    created_s: int
    """Seconds since 1970: it signs from then on, and verifies before."""
    expires_s: int = 0
    """Seconds since 1970; 0 for never."""
    name: str = "thesan"
    user: str = "daemon"
    group: str = "daemon"

    def valid_at(self, now_s: int) -> bool:
        """True until it expires."""
        return self.expires_s == 0 or now_s < self.expires_s


class Keytab(msgspec.Struct, frozen=True):
    """All keys, newest first (by creation time, then by number)."""

    keys: tuple[Key, ...]

    def valid(self, now_s: int) -> tuple[Key, ...]:
        """Keys that verify, the one that signs first.

        Those that have begun, newest first; then the others, soonest first: one of them signs only
        where nothing else is left, as in a file from a machine whose clock is ahead.
        """
        live = [key for key in self.keys if key.valid_at(now_s)]
        begun = [key for key in live if key.created_s <= now_s]
        later = [key for key in reversed(live) if key.created_s > now_s]
        return (*begun, *later)

    def newest(self, now_s: int) -> Key:
        """The key that signs. Raises ConfigError when every key has expired."""
        valid = self.valid(now_s)
        if not valid:
            raise ConfigError("every key of the keytab has expired")
        return valid[0]

    def unchanged(self, now_s: int) -> range:
        """The seconds around `now_s` in which `valid` stays what it is now: no key begins or
        expires."""
        moments = [key.created_s for key in self.keys]
        moments += [key.expires_s for key in self.keys if key.expires_s]
        since_s = max((moment for moment in moments if moment <= now_s), default=0)
        until_s = min((moment for moment in moments if moment > now_s), default=_NUMBER_MAX)
        return range(since_s, until_s)

    def find(self, number: int, now_s: int) -> Key | None:
        """The valid key of that number."""
        for key in self.keys:
            if key.number == number and key.valid_at(now_s):
                return key
        return None

    def secrets(self, now_s: int) -> list[bytes]:
        """Secrets of the valid keys, the one that signs first: what Verifier and GrantKeys take."""
        return [key.secret for key in self.valid(now_s)]


def check_keytab_mode(st_mode: int) -> None:
    """Refuse a keytab that others could read. Raises ConfigError.

    `st_mode` is that of `stat`; what is not a regular file is refused too.
    """
    if st_mode & _FILE_TYPE != _REGULAR:
        raise ConfigError("the keytab is not a regular file")
    if st_mode & _OTHERS:
        raise ConfigError(
            f"the keytab has mode {st_mode & 0o7777:04o}; only its owner may read it: chmod 0600"
        )


def parse_keytab(data: bytes) -> Keytab:
    """Read a keytab file. Raises ConfigError that lists every faulty line, never a key."""
    if len(data) > KEYTAB_BYTES_MAX:
        raise ConfigError(f"the keytab has {len(data)} bytes, at most {KEYTAB_BYTES_MAX}")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise ConfigError("the keytab is not ASCII text") from error
    keys: list[Key] = []
    faults: list[str] = []
    numbers: dict[int, int] = {}
    for line_number, line in enumerate(text.split("\n"), 1):
        body = line.strip()
        if not body or body.startswith("#"):
            continue
        try:
            key = _parse_line(body)
        except ValueError as error:
            faults.append(f"line {line_number}: {error}")
            continue
        if key.number in numbers:
            faults.append(f"line {line_number}: N:{key.number} is on line {numbers[key.number]}")
        numbers[key.number] = line_number
        keys.append(key)
    if not keys and not faults:
        faults.append("there is no key in it")
    if len(keys) > KEYTAB_KEYS_MAX:
        faults.append(f"{len(keys)} keys, at most {KEYTAB_KEYS_MAX}")
    if faults:
        raise ConfigError("unusable keytab: " + "; ".join(faults[:20]))
    return make_keytab(keys)


def make_keytab(keys: list[Key]) -> Keytab:
    """Keys in their order of use."""
    return Keytab(tuple(sorted(keys, key=lambda key: (-key.created_s, -key.number))))


def format_keytab(keytab: Keytab) -> bytes:
    """The file for a keytab; `parse_keytab` gives the same back."""
    return "".join(_format_line(key) for key in keytab.keys).encode("ascii")


def add_key(data: bytes, secret: bytes, begins_s: int, expires_s: int = 0) -> bytes:
    """The keytab file `data` with one key more, its id one above the highest; nothing else in it
    changes, comments neither.

    It begins at `begins_s`, or when the last of the others expires, since it signs from then on.
    Raises ConfigError when the file is unusable, or would be.
    """
    keys = parse_keytab(data).keys
    ends = [key.expires_s for key in keys]
    created_s = min(begins_s, max(ends)) if all(ends) else begins_s
    number = max(key.number for key in keys) + 1
    line = _format_line(Key(number, secret, created_s, expires_s)).encode("ascii")
    grown = data + (b"" if data.endswith(b"\n") else b"\n") + line
    parse_keytab(grown)
    return grown


def _format_line(key: Key) -> str:
    return (
        f"0 u:{key.user} g:{key.group} n:{key.name} N:{key.number} "
        f"c:{key.created_s} e:{key.expires_s} f:0 k:{key.secret.hex()}\n"
    )


def _parse_line(line: str) -> Key:
    """One key. Raises ValueError with a text that does not show the key."""
    version, *parts = line.split()
    if version != "0":
        raise ValueError("does not start with format version 0")
    fields: dict[str, str] = {}
    for part in parts:
        tag, colon, value = part.partition(":")
        if not colon or len(tag) != 1:
            raise ValueError("has a field that is not written x:value")
        if tag in fields:
            raise ValueError(f"has {tag}: twice")
        fields[tag] = value
    missing = [tag for tag in "ugnNcek" if not fields.get(tag)]
    if missing:
        raise ValueError("lacks " + " ".join(f"{tag}:" for tag in missing))
    for tag in "ugn":
        if len(fields[tag]) > _FIELD_BYTES_MAX:
            raise ValueError(f"{tag}: is longer than {_FIELD_BYTES_MAX}")
    number = _parse_number(fields["N"], "N:")
    if number == 0:
        raise ValueError("N: must be greater than 0")
    return Key(
        number=number,
        secret=_parse_secret(fields["k"]),
        created_s=_parse_number(fields["c"], "c:"),
        expires_s=_parse_number(fields["e"], "e:"),
        name=fields["n"],
        user=fields["u"],
        group=fields["g"],
    )


def _parse_number(text: str, tag: str) -> int:
    if len(text) > 19 or not text.isdecimal() or int(text) > _NUMBER_MAX:
        raise ValueError(f"{tag} is not a number of at most 63 bits")
    return int(text)


def _parse_secret(text: str) -> bytes:
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        raise ValueError("k: is not hexadecimal") from None
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise ValueError(f"k: has {len(secret)} bytes, not {SECRET_BYTES_MIN}-{SECRET_BYTES_MAX}")
    return secret
