"""What is fuzzed: every parser that reads bytes from outside. One line in TARGETS each.

A target gets damaged input and must raise nothing but the errors named in its line. The two session
targets besides keep a bound on the memory that input may make them hold.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import get_args

import corpus
import google_crc32c

from thesan.core.authority import capability as cap
from thesan.core.authority.keytab import parse_keytab
from thesan.core.authority.rules import parse_rule
from thesan.core.authority.thk import ThkServer, challenge_of
from thesan.core.control import messages, replica
from thesan.core.journal import entry
from thesan.core.model.errors import (
    CapabilityError,
    ConfigError,
    ControlError,
    Corrupt,
    OperationError,
    WireError,
)
from thesan.core.model.limits import BODY_BYTES_FIRST, CAPABILITY_KEY_SECONDS
from thesan.core.model.paths import normalise
from thesan.core.namespace import acl, ops
from thesan.core.wire import bodies, fattr, pages
from thesan.core.wire import requests as rq
from thesan.core.wire import responses as rs
from thesan.core.wire.client import ClientSession
from thesan.core.wire.numbers import HANDSHAKE, NO_SID, RequestId, ServerType
from thesan.core.wire.request_codec import decode, writev_items
from thesan.core.wire.server import TRANSITIONS, Event, ServerSession, ServerSettings

_SETTINGS = ServerSettings(flags=1, server_type=ServerType.SERVER, write_bytes_max=256 * 1024)
_SERVER_HELD_MAX = 1024 * 1024 + 64 * 1024
"""The longest body that is not data, and a block."""
_REQUEST_TYPES = get_args(rq.Request)
_VERDICTS = (Event.ACCEPTED, Event.MORE, Event.REFUSED)
_DATA_SHARE = 3
"""One in so many deliveries goes through the window when there is one."""


class Unbounded(AssertionError):
    """A session holds or answers more than it may."""


@dataclass(frozen=True)
class Target:
    """`feed(data, rng)` runs one input; what it raises must be one of `allowed`."""

    seeds: Sequence[bytes]
    feed: Callable[[bytes, Random], object]
    allowed: tuple[type[Exception], ...]
    weight: int = 1


def _deliver(
    session: ServerSession | ClientSession, data: bytes, rng: Random
) -> list[rq.Request] | list[object]:
    """Hand `data` over in up to three pieces, by receive or by window."""
    got = []
    while data:
        size = len(data) if rng.getrandbits(1) else rng.randrange(1, len(data) + 1)
        window = session.window()
        if window is not None and rng.randrange(_DATA_SHARE):
            part = data[: min(size, len(window))]
            window[: len(part)] = part
            got += session.filled(len(part))
        else:
            part = data[:size]
            got += session.receive(part)
        data = data[len(part) :]
    return got


def _serve(session: ServerSession, data: bytes, rng: Random) -> None:
    requests = _deliver(session, data, rng)
    while requests:
        for request in requests:
            if type(request) not in _REQUEST_TYPES:
                raise Unbounded(f"{request!r} is no request")
        last = requests[-1]
        if not isinstance(last, rq.Login | rq.Auth | rq.Bind):
            break
        verdict = rng.choice([v for v in _VERDICTS if (session.state, v) in TRANSITIONS])
        requests = session.conclude(verdict)


def _check_server(session: ServerSession, data: bytes) -> None:
    if session.held_bytes > _SERVER_HELD_MAX:
        raise Unbounded(f"server session holds {session.held_bytes} bytes")
    output = session.take_output()
    if len(output) > 200 + 8 * len(data):
        raise Unbounded(f"{len(output)} bytes of answers to {len(data)} bytes")


def _feed_entrance(data: bytes, rng: Random) -> None:
    """A server session from its first byte."""
    session = ServerSession(_SETTINGS)
    try:
        _serve(session, data, rng)
    finally:
        _check_server(session, data)


def _feed_server(data: bytes, rng: Random) -> None:
    """A server session behind the login; handles 1 and 2 may be written."""
    session = ServerSession(_SETTINGS)
    session.receive(HANDSHAKE + corpus.LOGIN)
    session.conclude(Event.ACCEPTED)
    session.take_output()
    if rng.getrandbits(1):
        session.writable = (1, 2)
    try:
        _serve(session, data, rng)
    finally:
        _check_server(session, data)


def _feed_client(data: bytes, rng: Random) -> None:
    """A client session that waits for the answers of corpus.AWAITED."""
    session = ClientSession()
    session.hello()
    sid, _ = session.submit(rq.Login(NO_SID, "me"))
    session.receive(
        rs.ok(NO_SID, b"\0\0\5\x11\0\0\0\1")
        + rs.ok(NO_SID, bodies.build_protocol(1))
        + rs.ok(sid, corpus.SESSION_ID)
    )
    for request in corpus.AWAITED:
        session.submit(request)
    try:
        _deliver(session, data, rng)
    finally:
        if session.held_bytes > BODY_BYTES_FIRST + 2 * len(data):
            raise Unbounded(f"client session holds {session.held_bytes} bytes")


def _feed_hello(data: bytes, rng: Random) -> None:
    """A client session whose hello is answered by `data`."""
    session = ClientSession()
    session.hello()
    session.submit(rq.Login(NO_SID, "me"))
    _deliver(session, data, rng)


def _feed_decode(data: bytes, rng: Random) -> None:
    """A request by its parameters and body, any number."""
    requestid = rng.randrange(2999, 3034)
    if requestid == RequestId.WRITEV:
        writev_items(data[16:])
    else:
        decode(corpus.SID, requestid, data[:16].ljust(16, b"\0"), data[16:])


def _body(parse: Callable[[bytes], object]) -> Callable[[bytes, Random], object]:
    return lambda data, rng: parse(data)


def _text(parse: Callable[[str], object]) -> Callable[[bytes, Random], object]:
    return lambda data, rng: parse(data.decode("utf-8", "surrogateescape"))


def _seal_entry(data: bytes) -> bytes:
    """Set the crc right, so that damage behind it is reached."""
    crc = google_crc32c.value(data[:52] + data[56:])
    return data[:52] + crc.to_bytes(4, "big") + data[56:]


_verifier = cap.Verifier([corpus.SECRET], corpus.NODE)
_grant_keys = cap.GrantKeys([corpus.SECRET])
_capability_key = cap._generation_key(
    cap.node_key(corpus.SECRET, corpus.NODE), corpus.NOW_S // CAPABILITY_KEY_SECONDS
)
_grant_key = hmac.digest(corpus.SECRET, b"mgm|grant", "sha256")


def _verify(text: str) -> object:
    return _verifier.verify(
        text, ops=[cap.Op.CREATE], path=corpus.PATH, client=("me", 1, "h"), now_s=corpus.NOW_S
    )


def _forged(data: bytes, rng: Random) -> None:
    """A damaged ticket must not pass; the good one must."""
    text = data.decode("utf-8", "surrogateescape")
    _verify(text)
    if data not in corpus.CAPABILITIES:
        raise Unbounded("a damaged capability was honoured")


def _sign_payload(data: bytes, rng: Random) -> None:
    """A right signature over damaged bytes: only the decoder stands there."""
    body = urlsafe_b64encode(data).rstrip(b"=")
    _verify((body + b"." + cap._text_mac(_capability_key, body)).decode())


def _seal_payload(data: bytes, rng: Random) -> None:
    _grant_keys.open(data + hmac.digest(_grant_key, data, "sha256"))


def _rule(data: bytes, rng: Random) -> None:
    key, _, value = data.decode("utf-8", "surrogateescape").partition("=")
    parse_rule(key, value)


def _accept(data: bytes, rng: Random) -> None:
    ThkServer(bytes(32)).accept(data, _keytab, corpus.NOW_S)


_keytab = parse_keytab(corpus.KEYTABS[0])
_WIRE = (WireError,)
_CONTROL = (ControlError,)
_CORRUPT = (Corrupt,)
_FORGED = (CapabilityError,)
_REFUSED = (OperationError,)
_THK = [b"thk\0\x95\xa3fst\xa4fst1\1\xc4\x20" + bytes(range(32)) + b"\xc4\x20" + bytes(32)]


TARGETS: dict[str, Target] = {
    "server": Target(corpus.FRAMES, _feed_server, _WIRE, 10),
    "entrance": Target(corpus.ENTRANCE, _feed_entrance, _WIRE, 4),
    "client": Target(corpus.ANSWERS, _feed_client, _WIRE, 8),
    "server, long": Target(corpus.LONG_FRAMES, _feed_server, _WIRE),
    "client, long": Target(corpus.LONG_ANSWERS, _feed_client, _WIRE),
    "hello": Target(corpus.ANSWERS[:5], _feed_hello, _WIRE),
    "decode": Target([f[4:20] + f[24:] for f in corpus.FRAMES], _feed_decode, _WIRE, 6),
    **{
        name: Target(seeds, _body(getattr(bodies, name)), _WIRE)
        for name, seeds in corpus.BODIES.items()
    },
    "parse_fattr": Target(
        corpus.FATTR_ANSWERS, lambda d, r: fattr.parse_fattr(d, values=r.random() < 0.5), _WIRE
    ),
    "parse_fattr_list": Target(
        corpus.FATTR_LISTS, lambda d, r: fattr.parse_fattr_list(d, values=r.random() < 0.5), _WIRE
    ),
    "split_pages": Target(
        corpus.PAGES, lambda d, r: pages.split_pages(d, r.choice((0, 100, 4095))), _WIRE
    ),
    "control request": Target(corpus.CONTROL_REQUESTS, _body(messages.decode_request), _CONTROL, 3),
    "control reply": Target(corpus.CONTROL_REPLIES, _body(messages.decode_reply), _CONTROL, 2),
    "replica order": Target(corpus.ORDERS, _body(replica.decode_order), _CONTROL),
    "replica outcome": Target(corpus.OUTCOMES, _body(replica.decode_outcome), _CONTROL),
    "journal entry": Target(corpus.ENTRIES, _body(entry.decode), _CORRUPT),
    "journal entry, crc right": Target(
        corpus.ENTRIES, lambda d, r: entry.decode(_seal_entry(d)), _CORRUPT, 2
    ),
    "journal position": Target(corpus.POSITIONS, _body(entry.decode_position), _CORRUPT),
    "op": Target(corpus.OPS, _body(ops.decode_op), _CORRUPT, 2),
    "capability": Target(corpus.CAPABILITIES, _forged, _FORGED, 2),
    "capability, mac right": Target(
        [cap._encoder.encode(corpus.CAPABILITY)], _sign_payload, _FORGED, 2
    ),
    "grant": Target(corpus.GRANTS, _body(_grant_keys.open), _FORGED),
    "grant, mac right": Target([cap._encoder.encode(corpus.GRANT)], _seal_payload, _FORGED),
    "keytab": Target(corpus.KEYTABS, _body(parse_keytab), (ConfigError,)),
    "thk credentials": Target(_THK, _accept, _REFUSED),
    "thk offer": Target([b"&P=thk," + b"0f" * 32], _text(challenge_of), ()),
    "acl": Target(corpus.ACLS, _text(lambda text: acl.parse(text, system=True)), _REFUSED),
    "vid rule": Target(corpus.VID_RULES, _rule, _REFUSED),
    "path": Target([b"/a/b/../c//d\0", "/\u00e9 x".encode()], _text(normalise), _REFUSED),
}
