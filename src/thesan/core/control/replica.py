"""What the head FST of an upload says to the FSTs of its other replicas.

Carried by kXR_query with infotype kXR_Qopaqug (by handle), on a handle that was opened with a
fan-out token. The order is: Seal, then Remember, then (the commit is in the journal) Settle. From
Remember on every replica holds the commit in its own durable queue, so that the death of any of
them, the head included, loses nothing and leaves nothing behind.
"""

from typing import Final

import msgspec

from thesan.core.control.messages import Message
from thesan.core.model.errors import ControlError
from thesan.core.model.limits import REQUEST_BODY_BYTES_MAX

MAGIC: Final = b"thesan-replica1\n"
"""Start of the body; anything else in kXR_Qopaqug is answered kXR_Unsupported."""


class Seal(Message, tag="seal"):
    """All data were sent: make them durable and say what they are."""

    mtime_ns: int


class Sealed(Message, tag="sealed"):
    """What is durable on the replica. The head compares it with its own."""

    size: int
    adler32: int
    crc32c: int


class Remember(Message, tag="remember"):
    """Keep this commit durably; whoever is left of the replicas resends it after a crash."""

    commit: bytes
    """core.control.messages.encode_request of the Commit."""


class Settle(Message, tag="settle"):
    """The upload is over: keep the replica, or remove it. The handle is gone afterwards."""

    keep: bool


class Done(Message, tag="done"):
    """Answer to Remember and Settle."""


Order = Seal | Remember | Settle
Outcome = Sealed | Done

_encoder = msgspec.msgpack.Encoder()
_order_decoder: "msgspec.msgpack.Decoder[Order]" = msgspec.msgpack.Decoder(Order)
_outcome_decoder: "msgspec.msgpack.Decoder[Outcome]" = msgspec.msgpack.Decoder(Outcome)


def encode_order(order: Order) -> bytes:
    """Body of the kXR_query. Raises ControlError above REQUEST_BODY_BYTES_MAX."""
    body = MAGIC + _encoder.encode(order)
    if len(body) > REQUEST_BODY_BYTES_MAX:
        raise ControlError(f"order of {len(body)} bytes is too long")
    return body


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
