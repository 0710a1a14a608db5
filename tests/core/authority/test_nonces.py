"""A ticket belongs to its first user; the window forgets only what has expired."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.authority.nonces import NonceWindow
from thesan.core.model.errors import CapabilityError

ALICE = ("alice", 1, "h")
BOB = ("bob", 1, "h")


def test_expired_nonces_make_room():
    window = NonceWindow(count_max=3)
    for number in range(3):
        window.admit(bytes([number]), ALICE, 100 + number, 50)
    with pytest.raises(CapabilityError, match="too many"):
        window.admit(b"x", ALICE, 200, 60)
    window.admit(b"y", ALICE, 200, 101)
    assert len(window) == 3
    with pytest.raises(CapabilityError, match="another client"):
        window.admit(b"\1", BOB, 101, 101)


def test_full_window_still_serves_whom_it_knows():
    window = NonceWindow(count_max=1)
    window.admit(b"a", ALICE, 100, 50)
    window.admit(b"a", ALICE, 100, 51)


def test_a_forgotten_nonce_does_not_come_back_with_the_clock():
    window = NonceWindow()
    window.admit(b"a", ALICE, 100, 50)
    window.admit(b"b", ALICE, 400, 101)
    assert len(window) == 1
    with pytest.raises(CapabilityError, match="set back"):
        window.admit(b"a", BOB, 100, 60)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from([ALICE, BOB]), st.integers(0, 30), st.integers(0, 3)
        ),
        max_size=200,
    )
)
def test_never_two_owners_and_never_too_many(steps):
    window = NonceWindow(count_max=5)
    owners: dict[tuple[int, int], tuple[str, int, str]] = {}
    now = 0
    for number, client, life, passed in steps:
        now += passed
        expires = now + life
        # A nonce is in one ticket only, so it always comes with the same expiry.
        key = (number, expires)
        nonce = b"%d|%d" % key
        try:
            window.admit(nonce, client, expires, now)
        except CapabilityError:
            pass
        else:
            assert owners.setdefault(key, client) == client
        assert len(window) <= 5
