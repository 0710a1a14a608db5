"""Configuration records of fs, node, group and space, as the journal keeps them.

The values of ConfigSet ops in the sections of the same name: msgpack maps, so that a field can be
added with a default. Keys: `fs` the fsid as text, `node` `host:port`, `group` `space.N`, `space`
its name.
"""

from typing import Final, TypeVar

import msgspec

from thesan.core.model.errors import Corrupt
from thesan.core.model.limits import FS_HEADROOM_BYTES

FS_SECTION: Final = "fs"
NODE_SECTION: Final = "node"
GROUP_SECTION: Final = "group"
SPACE_SECTION: Final = "space"
MGM_SECTION: Final = "mgm"
LAST_FSID_KEY: Final = "fsid.last"
"""Key in MGM_SECTION: highest fsid ever given out; ids are not reused while there are others."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of all. Encoded as a map; unknown fields of a later version are ignored."""


class FsRecord(Record, frozen=True, omit_defaults=True):
    """One filesystem."""

    uuid: str
    node: str
    path: str
    space: str
    group: str
    """Full name `space.N`."""
    configstatus: str = "rw"
    headroom_bytes: int = FS_HEADROOM_BYTES
    boot_request: int = 0
    """Grows by one at each `fs boot`."""
    geotag: str = ""
    """`forcegeotag`: takes the place of what the node says."""
    comment: str = ""
    settings: dict[str, str] = {}
    """Other keys of `fs config`, as EOS names them."""


class NodeRecord(Record, frozen=True, omit_defaults=True):
    """One FST. A node that proves the keytab is on unless it was set off."""

    status: str = "on"
    settings: dict[str, str] = {}


class GroupRecord(Record, frozen=True, omit_defaults=True):
    """One group: on, drain or off."""

    status: str = "on"


class SpaceRecord(Record, frozen=True, omit_defaults=True):
    """One space."""

    group_size: int = 0
    """Filesystems per group; 0: the space has one group, `space.0`, without bound."""
    group_count: int = 24
    """Groups at most (`groupmod`)."""
    status: str = "on"
    nominal_bytes: int = 0
    settings: dict[str, str] = {}


_R = TypeVar("_R", bound=Record)
_encoder: Final = msgspec.msgpack.Encoder()


def encode_record(record: Record) -> bytes:
    """Value of a ConfigSet op."""
    return _encoder.encode(record)


def decode_record(kind: type[_R], data: bytes) -> _R:
    """Raises Corrupt: what is in the journal was written by a master, so it must be readable."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Corrupt(f"unreadable {kind.__name__}: {error}") from error
