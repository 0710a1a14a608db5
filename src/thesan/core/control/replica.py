"""What the head FST of an upload says to the FSTs of its other replicas.

Carried by kXR_query with infotype kXR_Qopaqug (by handle), on a handle that was opened with a
fan-out token. The order is: Seal, then (the commit is in the journal) Settle. Between the two the
replica may be committed at any time, so it stays until the head, or the MGM in the head's absence,
says otherwise; before Seal it may be dropped at will.
"""

from typing import Final

import msgspec

from thesan.core.control.messages import Message
from thesan.core.model.errors import ControlError

MAGIC: Final = b"thesan-replica1\n"
"""Start of the body; anything else in kXR_Qopaqug is answered kXR_Unsupported."""


class Seal(Message, tag="seal"):
    """All data were sent: make them durable, stay from now on, and say what they are."""

    mtime_ns: int


class Sealed(Message, tag="sealed"):
    """What is durable on the replica. The head compares it with its own."""

    size: int
    adler32: int
    crc32c: int


class Settle(Message, tag="settle"):
    """The upload is over: keep the replica, or remove it. The handle is gone afterwards."""

    keep: bool


class Done(Message, tag="done"):
    """Answer to Settle."""


Order = Seal | Settle
Outcome = Sealed | Done

_encoder = msgspec.msgpack.Encoder()
_order_decoder: "msgspec.msgpack.Decoder[Order]" = msgspec.msgpack.Decoder(Order)
_outcome_decoder: "msgspec.msgpack.Decoder[Outcome]" = msgspec.msgpack.Decoder(Outcome)


def encode_order(order: Order) -> bytes:
    """Body of the kXR_query."""
    return MAGIC + _encoder.encode(order)


def decode_order(body: bytes) -> Order:
    """Raises ControlError for anything that is not an Order."""
    if not body.startswith(MAGIC):
        raise ControlError("not an order to a replica")
    try:
        return _order_decoder.decode(memoryview(body)[len(MAGIC) :])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ControlError(f"unreadable order: {error}") from error


def encode_outcome(outcome: Outcome) -> bytes:
    """Body of the answer."""
    return _encoder.encode(outcome)


def decode_outcome(body: bytes | bytearray) -> Outcome:
    """Raises ControlError for anything that is not an Outcome."""
    try:
        return _outcome_decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ControlError(f"unreadable outcome: {error}") from error
