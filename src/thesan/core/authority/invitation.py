"""Invitations: how a machine that has nothing becomes an MGM of an instance, once.

`mgm add` draws a secret, seals what a new MGM has to know under it (the keytab, who the members
are, where the journal is) and journals the sealed box under the secret's fingerprint, with an
expiry. The secret itself travels in the token, from hand to hand, and is kept nowhere. `mgm join`
shows the fingerprint, gets the box, opens it; the record is gone with the same journal entry that
makes the new MGM a member. So a token works once; who overhears the network gets a box that he
can't open, who finds a used token gets nothing.

The box is SHAKE-256 as a stream cipher, then HMAC-SHA256 over the whole (encrypt, then MAC), under
two keys derived from the secret; a secret seals one box only, so no nonce is needed.
"""

import errno
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final

import msgspec

from thesan.core.authority.mac import MAC_BYTES
from thesan.core.model.errors import Corrupt, OperationError
from thesan.core.model.limits import JOIN_BOX_BYTES_MAX, JOIN_TOKEN_BYTES_MAX

JOIN_SECTION: Final = "join"
"""Section of the journaled configuration; keys are fingerprints, values JoinRecord."""
TOKEN_PREFIX: Final = "thesan-mgm-"
SECRET_BYTES: Final = 32
FINGERPRINT_BYTES: Final = 16
_VERSION: Final = 1


class Invitation(msgspec.Struct, frozen=True):
    """What a new MGM has to know. Encoded as a map, so that fields can be added."""

    instance: str
    address: str
    """`host:port` that the new MGM will have."""
    keytab: str = ""
    """Text of the instance's keytab."""
    journal: str = ""
    """The engine, as `daemon run mgm --journal` takes it."""
    mgms: tuple[str, ...] = ()
    failover: str = ""
    geotag: str = ""


class JoinRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An invitation that waits, as the journal keeps it."""

    address: str
    expires_s: int
    """Seconds since 1970."""
    box: bytes
    made_by: str = ""


class Token(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What goes from hand to hand."""

    version: int
    secret: bytes
    address: str
    expires_s: int
    mgms: tuple[str, ...]
    """Where to show it."""


_encoder: Final = msgspec.msgpack.Encoder()


def fingerprint(secret: bytes) -> str:
    """What the MGM knows the secret by; the secret can't be had from it."""
    return hmac.digest(secret, b"join|id", "sha256")[:FINGERPRINT_BYTES].hex()


def seal(invitation: Invitation, secret: bytes) -> bytes:
    """The box. Raises OperationError E2BIG above JOIN_BOX_BYTES_MAX."""
    plain = _encoder.encode(invitation)
    if len(plain) + MAC_BYTES > JOIN_BOX_BYTES_MAX:
        text = f"an invitation of {len(plain)} bytes is too long: drop old keys from the keytab"
        raise OperationError(errno.E2BIG, text)
    hidden = _stream(plain, secret)
    return hidden + _mac(hidden, secret)


def unseal(box: bytes, secret: bytes) -> Invitation:
    """Raises OperationError EBADMSG for a box that this secret did not seal."""
    if not MAC_BYTES < len(box) <= JOIN_BOX_BYTES_MAX:
        raise OperationError(errno.EBADMSG, "the invitation has an impossible length")
    hidden, mac = box[:-MAC_BYTES], box[-MAC_BYTES:]
    if not hmac.compare_digest(_mac(hidden, secret), mac):
        raise OperationError(errno.EBADMSG, "the invitation was not sealed with this token")
    try:
        return msgspec.msgpack.decode(_stream(hidden, secret), type=Invitation)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise OperationError(errno.EBADMSG, f"unreadable invitation: {error}") from error


def format_token(secret: bytes, address: str, expires_s: int, mgms: tuple[str, ...]) -> str:
    """The text that `mgm add` prints."""
    token = Token(_VERSION, secret, address, expires_s, mgms)
    return TOKEN_PREFIX + urlsafe_b64encode(_encoder.encode(token)).decode().rstrip("=")


def parse_token(text: str) -> Token:
    """Raises OperationError EINVAL, which never shows the token."""
    body = text.strip().removeprefix(TOKEN_PREFIX)
    fault = OperationError(
        errno.EINVAL,
        f"this is no token of `thesan mgm add`: that begins with {TOKEN_PREFIX} (is it whole?)",
    )
    if not text.strip().startswith(TOKEN_PREFIX) or len(body) > JOIN_TOKEN_BYTES_MAX:
        raise fault
    try:
        data = urlsafe_b64decode(body + "=" * (-len(body) % 4))
        token = msgspec.msgpack.decode(data, type=Token)
    except (Base64Error, msgspec.DecodeError, ValueError, RecursionError):
        raise fault from None
    if token.version != _VERSION:
        text = f"the token is of version {token.version}: install the thesan of the instance"
        raise OperationError(errno.EINVAL, text)
    if len(token.secret) != SECRET_BYTES or not token.mgms:
        raise fault
    return token


def encode_join(record: JoinRecord) -> bytes:
    """Value of a ConfigSet op."""
    return _encoder.encode(record)


def decode_join(data: bytes) -> JoinRecord:
    """Raises Corrupt: a master wrote it, so it must be readable."""
    try:
        return msgspec.msgpack.decode(data, type=JoinRecord)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Corrupt(f"unreadable JoinRecord: {error}") from error


def _stream(data: bytes, secret: bytes) -> bytes:
    key = hmac.digest(secret, b"join|stream", "sha256")
    pad = hashlib.shake_256(key).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(data), "big")


def _mac(hidden: bytes, secret: bytes) -> bytes:
    return hmac.digest(hmac.digest(secret, b"join|mac", "sha256"), hidden, "sha256")
