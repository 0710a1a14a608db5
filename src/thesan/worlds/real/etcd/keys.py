"""The keys of one journal in etcd, and what their values look like.

    PREFIX/owner       who may append: JSON [node, epoch, address, since_ns], compared as bytes
    PREFIX/log/<seq>   one entry; seq has 20 digits, so that keys sort as numbers
    PREFIX/newest      seq of the newest entry, written with it; a read of one key finds the head
    PREFIX/beat        empty; its version counts the beats
    PREFIX/adopting    there while a migration fills this journal: nobody may own it

`beat` and `log/` are neighbours, so that one watch of one range sees both and nothing else.
"""

from typing import Final

import msgspec

from thesan.core.model.errors import Corrupt
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Owner

_SEQ_DIGITS: Final = 20
_owner_decoder: Final = msgspec.json.Decoder(tuple[str, int, str, int])


class Keys:
    """Keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        top = prefix.encode()
        self.owner = top + b"/owner"
        self.newest = top + b"/newest"
        self.beat = top + b"/beat"
        self.adopting = top + b"/adopting"
        self.log = top + b"/log/"
        self.log_end = top + b"/log0"
        """First key behind the entries: `0` follows `/`."""
        self.all = top + b"/"
        self.all_end = top + b"0"

    def entry(self, seq: int) -> bytes:
        """Key of an entry."""
        return b"%s%020d" % (self.log, seq)

    def seq_of(self, key: bytes) -> Seq | None:
        """Seq of an entry's key; None for another key. Raises Corrupt for a foreign one there."""
        if not key.startswith(self.log):
            return None
        digits = key[len(self.log) :]
        if len(digits) != _SEQ_DIGITS or not digits.isdigit():
            raise Corrupt(f"etcd holds a key that is no entry: {key!r}")
        return Seq(int(digits))


def encode_owner(owner: Owner) -> bytes:
    """Value of the owner key: always the same bytes for the same owner."""
    return msgspec.json.encode((owner.node, owner.epoch, owner.address, owner.since_ns))


def decode_owner(value: bytes) -> Owner:
    """Read back `encode_owner`. Raises Corrupt."""
    try:
        node, epoch, address, since_ns = _owner_decoder.decode(value)
    except (msgspec.DecodeError, ValueError) as error:
        raise Corrupt(f"etcd holds an unreadable owner: {value[:200]!r}") from error
    return Owner(node, Epoch(epoch), address, since_ns)


def encode_seq(seq: int) -> bytes:
    """Value of the key `newest`."""
    return b"%d" % seq


def decode_seq(value: bytes) -> Seq:
    """Read back `encode_seq`. Raises Corrupt."""
    if not value.isdigit() or len(value) > _SEQ_DIGITS:
        raise Corrupt(f"etcd holds an unreadable seq: {value[:200]!r}")
    return Seq(int(value))
