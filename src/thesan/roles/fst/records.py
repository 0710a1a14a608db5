"""What an FST writes beside the data: labels, file records, markers of unfinished uploads.

On a filesystem (`<fs>` is its directory):

    <fs>/.thesan/fsid, .thesan/uuid     the label: whose filesystem this is
    <fs>/.thesan/pending/<fid>          a marker: this fid is not (known to be) committed
    <fs>/.thesan/orphans/<fid>          data that no MGM knows, kept for a person to look at
    <fs>/.thesan/barrier                empty; synced to make all earlier removals durable
    <fs>/<fid // 10000>/<fid>           data; numbers as 8 or more hex digits, as in EOS

Together the markers are the durable commit queue and the list of possible orphans: a boot reads
them and nothing else. The data file's attribute `user.thesan.fmd` says what the file is, so that a
disk explains itself without any MGM.
"""

from enum import IntEnum
from typing import Final

import msgspec

from thesan.core.model.errors import StoreError

LABEL_FSID: Final = ".thesan/fsid"
LABEL_UUID: Final = ".thesan/uuid"
PENDING: Final = ".thesan/pending"
ORPHANS: Final = ".thesan/orphans"
BARRIER: Final = ".thesan/barrier"
FMD_ATTRIBUTE: Final = "thesan.fmd"
"""Name without the `user.` that ports.disk adds."""
FIDS_PER_DIRECTORY: Final = 10_000
"""As in EOS: common/FileId.hh."""
RECORD_VERSION: Final = 1


class MarkerState(IntEnum):
    """How far an upload came."""

    OPEN = 1
    """Data are being written. Of a new file nobody knows yet: to be removed after a crash."""
    COMMITTING = 2
    """Of the head: data are durable and `commit` is to be delivered, until an MGM has answered."""
    SEALED = 3
    """Of another replica: data are durable, and the head may have committed them."""


class Marker(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One unfinished upload on one filesystem."""

    state: int
    """MarkerState."""
    op: int
    """Op of the capability: CREATE or UPDATE."""
    fid: int
    fsid: int
    path: str
    """For messages."""
    is_head: bool
    """The head commits; nobody else does."""
    uid: int
    gid: int
    layout: int
    grant: bytes = b""
    """Of the head: what the commit gives back to the MGM."""
    other_fsids: tuple[int, ...] = ()
    """Of the head: the filesystems of the other replicas."""
    commit: bytes = b""
    """In state COMMITTING: messages.encode_request of the Commit to deliver after a crash."""
    version: int = RECORD_VERSION
    machine_boot_id: str = ""
    """`ports.host` when it was written: after another start of the machine the client's writes,
    which were answered but not synced, may be lost, and nobody may go on with the upload."""


class Fmd(msgspec.Struct, frozen=True, gc=False):
    """File metadata in the data file's attribute. Encoded as a map: it outlives versions."""

    fid: int
    path: str
    """When it was last written; renames do not change it."""
    uid: int
    gid: int
    layout: int
    size: int
    adler32: int
    crc32c: int
    mtime_ns: int


_encoder: Final = msgspec.msgpack.Encoder()
_marker_decoder: Final = msgspec.msgpack.Decoder(Marker)
_fmd_decoder: Final = msgspec.msgpack.Decoder(Fmd)


def data_path(fid: int) -> str:
    """Where a file's data are, below the filesystem's directory."""
    return f"{fid // FIDS_PER_DIRECTORY:08x}/{fid:08x}"


def marker_path(fid: int) -> str:
    """Where an unfinished upload is marked."""
    return f"{PENDING}/{fid:08x}"


def orphan_path(fid: int) -> str:
    """Where data go that no MGM knows."""
    return f"{ORPHANS}/{fid:08x}"


def fid_of_name(name: str) -> int | None:
    """The fid that a data file or a marker is named after, None for any other name."""
    if len(name) < 8 or name.lower() != name:
        return None
    try:
        fid = int(name, 16)
    except ValueError:
        return None
    return fid if f"{fid:08x}" == name else None


def encode_marker(marker: Marker) -> bytes:
    """Content of the marker file."""
    return _encoder.encode(marker)


def decode_marker(data: bytes) -> Marker:
    """Raises StoreError: a marker written without fsync may be torn by a power cut."""
    try:
        marker = _marker_decoder.decode(data)
        MarkerState(marker.state)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise StoreError(f"unreadable marker: {error}") from error
    if marker.version != RECORD_VERSION:
        raise StoreError(f"marker of unknown version {marker.version}")
    return marker


def encode_fmd(fmd: Fmd) -> bytes:
    """Value of the attribute."""
    return _encoder.encode(fmd)


def decode_fmd(data: bytes) -> Fmd:
    """Raises StoreError."""
    try:
        return _fmd_decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise StoreError(f"unreadable file record: {error}") from error
