"""The keytab exchange: both sides prove it, and nothing recorded proves anything."""

import errno

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.authority.keytab import Key, make_keytab
from thesan.core.authority.thk import CREDENTIAL_TYPE, Peer, ThkClient, ThkServer, challenge_of
from thesan.core.model.errors import ConfigError, OperationError

KEYTAB = make_keytab([Key(1, b"o" * 32, 100), Key(2, b"n" * 32, 200)])
NOW = 1000
SERVER_NONCE = bytes(range(32))
CLIENT_NONCE = bytes(range(100, 132))


def client(keytab=KEYTAB, role="fst", name="fst1:1095", nonce=CLIENT_NONCE) -> ThkClient:
    return ThkClient(keytab, role, name, nonce, NOW)


def refused(server: ThkServer, credentials: bytes, reason: str, keytab=KEYTAB) -> None:
    with pytest.raises(OperationError, match=reason) as caught:
        server.accept(credentials, keytab, NOW)
    assert caught.value.errno == errno.EBADE


def test_the_whole_conversation():
    server, daemon = ThkServer(SERVER_NONCE), client()
    nonce = challenge_of("&P=unix&P=host" + server.offer)
    assert nonce == SERVER_NONCE
    peer, proof = server.accept(daemon.answer(nonce), KEYTAB, NOW)
    assert peer == Peer("fst", "fst1:1095", 2)
    daemon.check(proof)


def test_no_secret_is_on_the_wire():
    server, daemon = ThkServer(SERVER_NONCE), client()
    credentials = daemon.answer(SERVER_NONCE)
    _, proof = server.accept(credentials, KEYTAB, NOW)
    for secret in (b"n" * 8, b"o" * 8):
        assert secret not in credentials + proof


@pytest.mark.parametrize(
    "text",
    [
        "",
        "&P=unix",
        "&P=thk",
        "&P=thk,",
        "&P=thk," + "a" * 63,
        "&P=thk," + "a" * 65,
        "&P=thk," + "g" * 64,
        "P=thk," + "a" * 64,
    ],
)
def test_no_challenge_in_other_texts(text):
    assert challenge_of(text) is None


def test_challenge_may_stand_anywhere():
    text = "&P=thk," + "ab" * 32
    assert challenge_of(text + "&P=unix") == b"\xab" * 32
    assert challenge_of(text + "\0") == b"\xab" * 32


def test_replay_at_another_connection_is_refused():
    recorded = client().answer(SERVER_NONCE)
    ThkServer(SERVER_NONCE).accept(recorded, KEYTAB, NOW)
    refused(ThkServer(b"x" * 32), recorded, "wrong key")


def test_a_challenge_is_good_for_one_attempt():
    server = ThkServer(SERVER_NONCE)
    good = client().answer(SERVER_NONCE)
    refused(server, b"thk\0rubbish", "unreadable")
    refused(server, good, "log in again")


def test_reflection_is_refused():
    # The server's own proof, or the client's mac, sent back to its author proves nothing.
    server, daemon = ThkServer(SERVER_NONCE), client()
    credentials = daemon.answer(SERVER_NONCE)
    mac = msgspec.msgpack.decode(credentials[4:])[4]
    with pytest.raises(OperationError, match="did not prove"):
        daemon.check(mac)
    again = client()
    refused(server, client(nonce=SERVER_NONCE).answer(SERVER_NONCE), "nonce is not acceptable")
    with pytest.raises(OperationError):
        again.check(b"")


def test_a_false_server_is_found_out():
    daemon = client()
    credentials = daemon.answer(SERVER_NONCE)
    other = make_keytab([Key(2, b"x" * 32, 200)])
    refused(ThkServer(SERVER_NONCE), credentials, "wrong key", other)
    with pytest.raises(OperationError, match="did not prove"):
        daemon.check(b"\0" * 32)
    # One check only: the proof can't be guessed at.
    with pytest.raises(OperationError, match="did not prove"):
        daemon.check(b"\0" * 32)


@pytest.mark.parametrize("field", range(5))
def test_every_field_is_bound(field):
    credentials = client().answer(SERVER_NONCE)
    values = msgspec.msgpack.decode(credentials[4:])
    values[field] = {0: "mgm", 1: "fst2:1095", 2: 1, 3: b"z" * 32, 4: b"z" * 32}[field]
    refused(ThkServer(SERVER_NONCE), b"thk\0" + msgspec.msgpack.encode(values), "wrong key")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (0, "root", "role or name"),
        (1, "n" * 256, "role or name"),
        (2, 99, "key 99"),
        (3, b"short", "nonce"),
    ],
)
def test_what_is_out_of_bounds_is_refused(field, value, reason):
    values = msgspec.msgpack.decode(client().answer(SERVER_NONCE)[4:])
    values[field] = value
    refused(ThkServer(SERVER_NONCE), b"thk\0" + msgspec.msgpack.encode(values), reason)


def test_either_side_may_have_a_key_that_has_not_begun():
    both = make_keytab([*KEYTAB.keys, Key(3, b"f" * 32, NOW + 1)])
    for here, there in ((both, KEYTAB), (KEYTAB, both)):
        daemon = client(here)
        peer, proof = ThkServer(SERVER_NONCE).accept(daemon.answer(SERVER_NONCE), there, NOW)
        assert peer.key_number == 2
        daemon.check(proof)


def test_a_clock_that_is_ahead_is_no_reason_to_refuse():
    both = make_keytab([*KEYTAB.keys, Key(3, b"f" * 32, NOW + 1)])
    early = ThkClient(both, "fst", "fst1:1095", CLIENT_NONCE, NOW + 1)
    peer, _ = ThkServer(SERVER_NONCE).accept(early.answer(SERVER_NONCE), both, NOW)
    assert peer.key_number == 3


def test_an_expired_key_opens_nothing():
    keytab = make_keytab([Key(1, b"o" * 32, 100, expires_s=NOW)])
    daemon = ThkClient(keytab, "fst", "fst1:1095", CLIENT_NONCE, NOW - 1)
    refused(ThkServer(SERVER_NONCE), daemon.answer(SERVER_NONCE), "expired", keytab)
    with pytest.raises(ConfigError):
        client(keytab)


def test_an_older_key_that_is_still_valid_opens():
    daemon = client(make_keytab([Key(1, b"o" * 32, 100)]))
    peer, proof = ThkServer(SERVER_NONCE).accept(daemon.answer(SERVER_NONCE), KEYTAB, NOW)
    assert peer.key_number == 1
    daemon.check(proof)


@given(st.binary(max_size=2000))
def test_any_bytes_are_refused_in_order(data):
    with pytest.raises(OperationError):
        ThkServer(SERVER_NONCE).accept(data, KEYTAB, NOW)
    with pytest.raises(OperationError):
        ThkServer(SERVER_NONCE).accept(CREDENTIAL_TYPE + data, KEYTAB, NOW)


def test_nonces_have_their_length():
    with pytest.raises(ValueError, match="nonce"):
        ThkServer(b"short")
    with pytest.raises(ValueError, match="nonce"):
        client(nonce=b"short")
    with pytest.raises(ValueError, match="role"):
        client(role="king")
