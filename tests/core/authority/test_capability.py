"""Capabilities and grants: what is signed is read back, what is forged or misused is refused."""

import errno
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.authority.capability import (
    CAPABILITY_VERSION,
    Capability,
    Grant,
    GrantKeys,
    GrantKind,
    Op,
    Replica,
    Signer,
    Verifier,
    hash_path,
    key_generation,
    node_key,
)
from thesan.core.authority.nonces import NonceWindow
from thesan.core.model.errors import CapabilityError
from thesan.core.model.limits import (
    CAPABILITY_BYTES_MAX,
    CAPABILITY_CLOCK_SKEW_SECONDS,
    CAPABILITY_KEY_SECONDS,
    CAPABILITY_SECONDS_MAX,
)

SECRET = b"s" * 32
NODE = "fst1:1095"
NOW = CAPABILITY_KEY_SECONDS * 80_000 + 1000
ALICE = ("alice", 4711, "client1")
BOB = ("bob", 4711, "client1")
PATH = "/data/a b/ü"


def make(**fields: object) -> Capability:
    values: dict[str, object] = {
        "op": Op.READ,
        "fid": 12345,
        "node": NODE,
        "fsid": 3,
        "path_hash": hash_path(PATH),
        "layout": 0x112,
        "uid": 1000,
        "gid": 1000,
        "epoch": 7,
        "issued_s": NOW,
        "expires_s": NOW + CAPABILITY_SECONDS_MAX,
        "nonce": b"n" * 12,
    }
    return Capability(**{**values, **fields})  # type: ignore[arg-type]


def verify(text: str, verifier: Verifier | None = None, **fields: object) -> Capability:
    values: dict[str, object] = {"ops": (Op.READ,), "path": PATH, "client": ALICE, "now_s": NOW}
    verifier = verifier if verifier is not None else Verifier([SECRET], NODE)
    return verifier.verify(text, **{**values, **fields})  # type: ignore[arg-type]


def test_what_was_signed_is_what_the_fst_reads():
    capability = make(
        op=Op.CREATE,
        replicas=(Replica(4, "fst2:1095", "token"),),
        grant=b"grant",
        booking_size=1 << 40,
    )
    text = Signer(SECRET).sign(capability)
    assert text.isascii()
    assert not set(text) & set("+/=&? ")
    assert verify(text, ops=(Op.CREATE, Op.UPDATE)) == capability


paths = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@settings(max_examples=200)
@given(
    op=st.sampled_from(Op),
    fid=st.integers(1, 2**63),
    path=paths,
    size=st.integers(0, 2**63),
    nonce=st.binary(min_size=12, max_size=12),
    grant=st.binary(max_size=500),
    age=st.integers(-CAPABILITY_CLOCK_SKEW_SECONDS, CAPABILITY_SECONDS_MAX),
)
def test_round_trip(op, fid, path, size, nonce, grant, age):
    capability = make(
        op=op,
        fid=fid,
        path_hash=hash_path(path),
        booking_size=size,
        nonce=nonce,
        grant=grant,
    )
    text = Signer(SECRET).sign(capability)
    assert verify(text, ops=(op,), path=path, now_s=NOW + age) == capability


@pytest.mark.parametrize(
    ("fields", "request_fields", "reason", "number"),
    [
        ({}, {"ops": (Op.CREATE, Op.UPDATE)}, "does not allow", errno.EACCES),
        ({}, {"path": PATH + "x"}, "another path", errno.EACCES),
        ({}, {"now_s": NOW + CAPABILITY_SECONDS_MAX + 1}, "expired 1 s ago", errno.ESTALE),
        ({}, {"now_s": NOW - CAPABILITY_CLOCK_SKEW_SECONDS - 1}, "future", errno.EACCES),
        ({"expires_s": NOW + CAPABILITY_SECONDS_MAX + 1}, {}, "too long a life", errno.EACCES),
        ({}, {"epoch_seen": 8}, "epoch 7, now is 8", errno.ESTALE),
        ({"nonce": b"short"}, {}, "contradicts", errno.EACCES),
        ({"version": CAPABILITY_VERSION + 1}, {}, "unknown version", errno.EACCES),
    ],
)
def test_each_refusal_has_its_reason(fields, request_fields, reason, number):
    text = Signer(SECRET).sign(make(**fields))
    with pytest.raises(CapabilityError, match=reason) as caught:
        verify(text, **request_fields)
    assert caught.value.errno == number


def test_a_capability_of_the_current_or_a_later_epoch_is_taken():
    text = Signer(SECRET).sign(make(epoch=7))
    assert verify(text, epoch_seen=7).epoch == 7
    assert verify(text, epoch_seen=6).epoch == 7


def test_it_is_good_for_one_node_only():
    text = Signer(SECRET).sign(make())
    with pytest.raises(CapabilityError, match="wrong signature"):
        verify(text, Verifier([SECRET], "fst2:1095"))


def test_a_node_key_signs_for_its_own_node_only():
    # An FST that knows only its root key and lies about the node inside.
    other = Verifier([SECRET], "fst2:1095")
    stolen = Signer(SECRET)
    stolen._secret = b""
    stolen._keys[NODE, key_generation(NOW)] = other._live_keys(NOW)[0][1]
    with pytest.raises(CapabilityError, match="wrong signature"):
        verify(stolen.sign(make()))
    with pytest.raises(CapabilityError, match="is for fst1:1095, this is fst2:1095"):
        verify(stolen.sign(make()), other)
    assert node_key(SECRET, NODE) != node_key(SECRET, "fst2:1095")


def test_keys_of_two_generations_are_live():
    verifier = Verifier([SECRET], NODE)
    generation = key_generation(NOW)
    start = generation * CAPABILITY_KEY_SECONDS
    assert [number for number, _ in verifier._live_keys(start)] == [generation, generation - 1]
    late = start + CAPABILITY_KEY_SECONDS - CAPABILITY_CLOCK_SKEW_SECONDS
    assert [number for number, _ in verifier._live_keys(late)] == [
        generation + 1,
        generation,
        generation - 1,
    ]
    # Signed by an MGM whose clock is ahead, just after it changed the key.
    ahead = start + CAPABILITY_KEY_SECONDS
    text = Signer(SECRET).sign(make(issued_s=ahead, expires_s=ahead + 300))
    assert verify(text, verifier, now_s=ahead - CAPABILITY_CLOCK_SKEW_SECONDS)
    # Signed just before the change, used just after.
    text = Signer(SECRET).sign(make(issued_s=ahead - 1, expires_s=ahead + 299, nonce=b"m" * 12))
    assert verify(text, verifier, now_s=ahead + 200)


def test_every_key_of_the_keytab_verifies():
    new, old = b"n" * 32, b"o" * 32
    verifier = Verifier([new, old], NODE)
    for number, secret in enumerate((new, old)):
        assert verify(Signer(secret).sign(make(nonce=bytes([number]) * 12)), verifier)
    with pytest.raises(CapabilityError, match="wrong signature"):
        verify(Signer(b"x" * 32).sign(make()), verifier)


def test_one_client_may_show_it_again_and_no_other():
    verifier = Verifier([SECRET], NODE)
    text = Signer(SECRET).sign(make())
    assert verify(text, verifier)
    assert verify(text, verifier, now_s=NOW + 10)
    for client in (BOB, ("alice", 4712, "client1"), ("alice", 4711, "client2")):
        with pytest.raises(CapabilityError, match="another client"):
            verify(text, verifier, client=client)


def test_a_refused_capability_takes_no_place_in_the_window():
    nonces = NonceWindow()
    text = Signer(SECRET).sign(make())
    with pytest.raises(CapabilityError):
        verify(text, Verifier([SECRET], NODE, nonces), path="/other")
    assert len(nonces) == 0


def test_too_long_a_capability_is_not_made_and_not_read():
    signer = Signer(SECRET)
    with pytest.raises(CapabilityError) as caught:
        signer.sign(make(grant=b"g" * CAPABILITY_BYTES_MAX))
    assert caught.value.errno == errno.E2BIG
    with pytest.raises(CapabilityError, match="too long"):
        verify("a" * (CAPABILITY_BYTES_MAX + 1))


@pytest.mark.parametrize("text", ["", ".", "a", "a.b", "." + "A" * 43, "é.é", "a\ud800.b"])
def test_rubbish_is_refused(text):
    with pytest.raises(CapabilityError):
        verify(text)


def test_signed_rubbish_is_refused():
    # Only possible with the key: a bug in another version, not an attack.
    class Wrong(msgspec.Struct, array_like=True):
        node: str = NODE
        issued_s: int = NOW

    with pytest.raises(CapabilityError, match="unreadable"):
        verify(Signer(SECRET).sign(Wrong()))  # type: ignore[arg-type]


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def forgeries(dice: random.Random, texts: list[str]):
    """What an attacker who saw `texts` can make of them without a key."""
    while True:
        text = dice.choice(texts)
        body, mac = text.split(".")
        kind = dice.randrange(7)
        if kind == 0:  # one character
            place = dice.randrange(len(text))
            yield text[:place] + dice.choice(ALPHABET + ".=~ ") + text[place + 1 :]
        elif kind == 1:  # one bit
            raw = bytearray(text.encode())
            raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(7)
            yield raw.decode("ascii", "replace")
        elif kind == 2:  # cut
            yield text[: dice.randrange(len(text))]
        elif kind == 3:  # one's body, another's signature
            yield body + "." + dice.choice(texts).split(".")[1]
        elif kind == 4:  # more
            yield text + dice.choice(ALPHABET + "=.&")
        elif kind == 5:  # signature from nowhere
            yield body + "." + "".join(dice.choices(ALPHABET, k=43))
        else:  # a piece elsewhere
            cut = dice.randrange(len(body))
            yield body[cut:] + body[:cut] + "." + mac


def test_a_hundred_thousand_forgeries_and_none_accepted():
    dice = random.Random(20260611)
    signer = Signer(SECRET)
    genuine = [
        signer.sign(make(fid=fid, nonce=fid.to_bytes(12, "big"), op=dice.choice(list(Op))))
        for fid in range(50)
    ]
    known = set(genuine)
    verifier = Verifier([SECRET], NODE)
    count = 0
    for forged in forgeries(dice, genuine):
        if forged in known:
            continue
        count += 1
        try:
            verifier.verify(forged, ops=tuple(Op), path=PATH, client=ALICE, now_s=NOW)
        except CapabilityError:
            pass
        else:
            pytest.fail(f"accepted a forgery: {forged}")
        if count == 60_000:
            break
    misuses = genuine_misuses(dice)
    for text, fields in misuses:
        count += 1
        with pytest.raises(CapabilityError):
            verify(text, verifier, **{"ops": (Op.READ,), **fields})
    assert count == 100_000
    assert len(verifier.nonces) == 0


def genuine_misuses(dice: random.Random):
    """Well signed, but by another key, or for another node, time, path, operation or epoch."""
    signers = {
        "other secret": Signer(b"x" * 32),
        "right": Signer(SECRET),
    }
    for number in range(40_000):
        kind = number % 7
        nonce = number.to_bytes(12, "big")
        right = signers["right"]
        if kind == 0:
            yield signers["other secret"].sign(make(nonce=nonce)), {}
        elif kind == 1:
            yield right.sign(make(nonce=nonce, node=f"fst{dice.randrange(2, 99)}:1095")), {}
        elif kind == 2:
            yield right.sign(make(nonce=nonce)), {"now_s": NOW + dice.randrange(301, 10**7)}
        elif kind == 3:
            yield right.sign(make(nonce=nonce)), {"path": PATH[: dice.randrange(len(PATH))]}
        elif kind == 4:
            op = dice.choice([op for op in Op if op is not Op.READ])
            yield right.sign(make(nonce=nonce, op=op)), {}
        elif kind == 5:
            yield right.sign(make(nonce=nonce)), {"epoch_seen": dice.randrange(8, 100)}
        else:
            yield right.sign(make(nonce=nonce)), {"now_s": NOW - dice.randrange(31, 10**7)}


def make_grant(**fields: object) -> Grant:
    values: dict[str, object] = {
        "kind": GrantKind.CREATE,
        "fid": 12345,
        "parent": 2,
        "name": "ü",
        "path": PATH,
        "mode": 0o644,
        "uid": 1000,
        "gid": 1000,
        "layout": 0x112,
        "fsids": (3, 4),
        "space": "default",
        "exclusive": True,
        "replaced": 0,
        "epoch": 7,
        "issued_s": NOW,
        "xattrs": (("user.k", b"v"),),
    }
    return Grant(**{**values, **fields})  # type: ignore[arg-type]


def test_a_grant_opens_to_what_was_sealed_years_later():
    keys = GrantKeys([SECRET])
    assert keys.open(keys.seal(make_grant())) == make_grant()


def test_a_grant_of_an_older_key_opens_while_that_key_is_in_the_keytab():
    sealed = GrantKeys([b"o" * 32]).seal(make_grant())
    assert GrantKeys([SECRET, b"o" * 32]).open(sealed) == make_grant()
    with pytest.raises(CapabilityError, match="left the keytab"):
        GrantKeys([SECRET]).open(sealed)


def test_altered_grants_are_refused():
    keys = GrantKeys([SECRET])
    sealed = keys.seal(make_grant())
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(CapabilityError):
            keys.open(bytes(altered))
    for length in range(len(sealed)):
        with pytest.raises(CapabilityError):
            keys.open(sealed[:length])
    with pytest.raises(CapabilityError, match="impossible length"):
        keys.open(b"x" * 100_000)


def test_a_grant_key_is_no_capability_key():
    # A capability's body and mac can't pass for a grant although the secret is the same.
    text = Signer(SECRET).sign(make()).encode()
    with pytest.raises(CapabilityError):
        GrantKeys([SECRET]).open(text)


def test_a_grant_with_too_much_in_it_is_not_made():
    with pytest.raises(CapabilityError) as caught:
        GrantKeys([SECRET]).seal(make_grant(xattrs=(("user.k", b"v" * 10_000),)))
    assert caught.value.errno == errno.E2BIG


def test_a_grant_of_a_later_version_is_refused():
    keys = GrantKeys([SECRET])
    with pytest.raises(CapabilityError, match="version 9"):
        keys.open(keys.seal(make_grant(version=9)))


def test_the_longest_path_fits_a_grant_and_a_capability():
    name = "n" * 255
    path = "/" + "/".join([name] * 15)
    grant = GrantKeys([SECRET]).seal(make_grant(path=path, name=name))
    replicas = (Replica(4, "f" * 60, "t" * 250),) * 2
    text = Signer(SECRET).sign(make(grant=grant, replicas=replicas, path_hash=hash_path(path)))
    assert verify(text, path=path).grant == grant
