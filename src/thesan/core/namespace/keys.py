"""Every key of the store and its value. Integers are big-endian, so that keys sort by number.

key                                     value
D <parent 8> <name utf-8>               fid 8: one directory entry
I <fid 8>                               inode record, see inode.encode_record
X <fid 8>                               msgpack map name -> bytes: extended attributes (when any)
L <fid 8> <parent 8> <name utf-8>       empty: one of the names of an inode with nlink > 1
F <fsid 2> <fid 8>                      empty: the fs holds a registered replica of the file
U <fsid 2> <fid 8>                      empty: the fs is to delete its replica of the file
Q <fid 8>                               msgpack map account ("u<uid>", "g<gid>", "p0") ->
                                        [bytes|nil, files|nil]: limits of a quota node
C <section> 0 <key>                     a configuration value, opaque
N                                       counters of the instance, see INSTANCE_COUNTERS
N F <fsid 2>                            counters of a filesystem, see FS_COUNTERS
N Q <node 8> <kind 1> <id 8>            usage of an account of a quota node, see QUOTA_COUNTERS
R <op id>                               number 8, msgpack of ops.Result: a remembered result
r <number 8>                            op id: the ring of remembered results, oldest first
M applied                               msgpack of tables.Applied; part of every write
M fid                                   8: fids below may be given out
M format                                version of all this, in digits
M results                               8: number of the next remembered result
M seed                                  progress of a store that is being filled from a peer's
                                        checkpoint; never in one that is in use

Counters are signed 64-bit words; a record of zeros is not stored.
"""

import struct
from typing import Final

FORMAT: Final = b"1"

_ENTRY: Final = struct.Struct(">cQ")
_REPLICA: Final = struct.Struct(">cHQ")
_FID: Final = struct.Struct(">Q")

pack_fid = _FID.pack
"""Value of a D record."""

M_APPLIED: Final = b"Mapplied"
M_FID: Final = b"Mfid"
M_FORMAT: Final = b"Mformat"
M_RESULTS: Final = b"Mresults"
M_SEED: Final = b"Mseed"

INSTANCE: Final = b"N"
INSTANCE_COUNTERS: Final = 6
"""Regular files, directories (the root too), symbolic links, logical bytes, physical bytes (size
times replicas), quota nodes."""
FS_COUNTERS: Final = 3
"""Registered replicas, their bytes, replicas awaiting deletion."""
QUOTA_COUNTERS: Final = 3
"""Physical bytes, logical bytes, files (symbolic links too)."""


def unpack_fid(value: bytes) -> int:
    """Fid in a D record or number in an M record."""
    fid: int = _FID.unpack_from(value)[0]
    return fid


def entries(parent: int) -> bytes:
    """Prefix of the D records of a directory."""
    return _ENTRY.pack(b"D", parent)


def entry(parent: int, name: str) -> bytes:
    """Key of a D record."""
    return _ENTRY.pack(b"D", parent) + name.encode()


def inode(fid: int) -> bytes:
    """Key of an I record."""
    return _ENTRY.pack(b"I", fid)


def xattrs(fid: int) -> bytes:
    """Key of an X record."""
    return _ENTRY.pack(b"X", fid)


def links(fid: int) -> bytes:
    """Prefix of the L records of an inode."""
    return _ENTRY.pack(b"L", fid)


def link(fid: int, parent: int, name: str) -> bytes:
    """Key of an L record."""
    return _ENTRY.pack(b"L", fid) + _FID.pack(parent) + name.encode()


def link_name(key: bytes) -> tuple[int, str]:
    """(parent, name) in the key of an L record."""
    return _FID.unpack_from(key, 9)[0], key[17:].decode()


def replica(fsid: int, fid: int) -> bytes:
    """Key of an F record."""
    return _REPLICA.pack(b"F", fsid, fid)


def deletion(fsid: int, fid: int) -> bytes:
    """Key of a U record."""
    return _REPLICA.pack(b"U", fsid, fid)


def replica_fid(key: bytes) -> int:
    """Fid in the key of an F or U record."""
    fid: int = _FID.unpack_from(key, 3)[0]
    return fid


def replica_fsid(key: bytes) -> int:
    """fsid in the key of an F or U record."""
    return int.from_bytes(key[1:3], "big")


def quota(fid: int) -> bytes:
    """Key of a Q record."""
    return _ENTRY.pack(b"Q", fid)


def config(section: str, key: str) -> bytes:
    """Key of a C record; `key` empty: prefix of the section."""
    return b"C" + section.encode() + b"\0" + key.encode()


def fs_counters(fsid: int) -> bytes:
    """Key of the counters of a filesystem."""
    return b"NF" + fsid.to_bytes(2, "big")


def quota_counters(node: int, kind: str, account: int) -> bytes:
    """Key of the usage of an account (`u`, `g`, `p`) of a quota node."""
    return b"NQ" + _FID.pack(node) + kind.encode() + _FID.pack(account)


def quota_account(key: bytes) -> tuple[str, int]:
    """(kind, id) in the key of a usage record."""
    return chr(key[10]), _FID.unpack_from(key, 11)[0]


def result(op_id: bytes) -> bytes:
    """Key of a remembered result."""
    return b"R" + op_id


def result_number(number: int) -> bytes:
    """Key of a place in the ring of remembered results."""
    return b"r" + _FID.pack(number)


def after(prefix: bytes) -> bytes:
    """The smallest key greater than every key with this prefix, which begins with a letter."""
    body = prefix.rstrip(b"\xff")
    return body[:-1] + bytes([body[-1] + 1])
