"""A ticket belongs to its first user; the window forgets only what has expired."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.authority.nonces import NonceWindow
from thesan.core.model.errors import CapabilityError
from thesan.core.model.limits import CAPABILITY_CLOCK_SKEW_SECONDS, CAPABILITY_SECONDS_MAX

LIFE = CAPABILITY_SECONDS_MAX

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


@pytest.mark.parametrize("back_s", [1, 20, 200, 3_600, 86_400])
def test_a_clock_that_was_set_back_is_no_reason_to_refuse_fresh_tickets(back_s):
    """Whatever it was before: an FST must not have to be restarted for it."""
    window = NonceWindow()
    now_s = 1_000_000
    for second in range(400):
        window.admit(b"old %d" % second, ALICE, now_s + second + LIFE, now_s + second)
    now_s += 400 - back_s
    used_s = now_s - 1
    with pytest.raises(CapabilityError, match="set back") as caught:
        window.admit(b"used", BOB, used_s, used_s - 1)
    assert caught.value.errno == errno.ESTALE, "a fresh one is good"
    for second in range(400):
        # An MGM whose clock is as slow as is tolerated.
        expires_s = now_s + second + LIFE - CAPABILITY_CLOCK_SKEW_SECONDS
        window.admit(b"new %d" % second, BOB, expires_s, now_s + second)
    with pytest.raises(CapabilityError, match="another client"):
        window.admit(b"new 399", ALICE, expires_s, now_s + 399)


def test_a_ticket_used_before_the_clock_was_set_back_is_not_used_by_others():
    window = NonceWindow()
    window.admit(b"a", ALICE, 1_000 + LIFE, 1_000)
    window.admit(b"b", ALICE, 1_400 + LIFE, 1_400)
    for back_s in (1_350, 1_200, 1_000 + CAPABILITY_CLOCK_SKEW_SECONDS + 1):
        with pytest.raises(CapabilityError, match="set back"):
            window.admit(b"a", BOB, 1_000 + LIFE, back_s)
    with pytest.raises(CapabilityError, match="another client"):
        window.admit(b"b", BOB, 1_400 + LIFE, 1_200)


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
