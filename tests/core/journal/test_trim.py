"""Trimming: never past what is durable twice, never the last entry, not for a trifle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.journal.trim import trim_before


@pytest.mark.parametrize(
    ("first", "last", "master", "peers", "before"),
    [
        (1, 1000, 1000, [], 901),
        (1, 1000, 500, [], 401),
        (1, 1000, 1000, [700], 601),
        (1, 1000, 600, [700], 501),
        # One live peer is enough; the dead one does not hold anything up.
        (1, 1000, 1000, [700, 3], 601),
        (1, 1000, 1000, [3], None),
        (890, 1000, 1000, [], 901),
        (892, 1000, 1000, [], None),
        (1, 0, 0, [], None),
        # A store that claims more than the journal has: the journal's word counts.
        (1, 200, 5000, [], 101),
    ],
)
def test_policy(first, last, master, peers, before):
    assert trim_before(first, last, master, peers, keep_entries=100, trim_entries=10) == before


def test_defaults_keep_enough_for_a_peer():
    assert trim_before(1, 4096, 4096) is None
    assert trim_before(1, 4096 + 511, 4096 + 511) is None
    assert trim_before(1, 4096 + 512, 4096 + 512) == 513


@given(
    first=st.integers(1, 50),
    length=st.integers(0, 100),
    master=st.integers(0, 200),
    peers=st.lists(st.integers(0, 200), max_size=3),
    keep=st.integers(0, 20),
    step=st.integers(1, 20),
)
def test_nothing_undurable_goes(first, length, master, peers, keep, step):
    last = first + length - 1
    before = trim_before(first, last, master, peers, keep_entries=keep, trim_entries=step)
    if before is None:
        return
    assert first + step <= before <= last
    newest_dropped = before - 1
    assert newest_dropped <= master
    assert not peers or any(newest_dropped <= peer for peer in peers)
    assert newest_dropped <= last - keep
