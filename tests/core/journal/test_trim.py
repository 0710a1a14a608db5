"""Trimming: never past what is durable twice, never the last entry, not for a trifle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.journal.trim import held, trim_before
from thesan.core.model.limits import JOURNAL_ENGINE_BYTES_MAX


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


@pytest.mark.parametrize(
    ("peers", "alone", "used_bytes", "before"),
    [
        # The only other MGM is dead: its entries stay until the engine is over its bytes.
        ([], False, 0, None),
        ([], False, JOURNAL_ENGINE_BYTES_MAX, None),
        ([], False, JOURNAL_ENGINE_BYTES_MAX + 1, 901),
        # One that is being seeded holds nothing yet.
        ([0], False, 0, None),
        ([0], False, JOURNAL_ENGINE_BYTES_MAX + 1, 901),
        ([500], False, 0, 401),
        ([], True, 0, 901),
    ],
)
def test_who_is_away_never_blocks_for_ever(peers, alone, used_bytes, before):
    found = trim_before(
        1,
        1000,
        1000,
        peers,
        is_alone=alone,
        used_bytes=used_bytes,
        keep_entries=100,
        trim_entries=10,
    )
    assert found == before


def test_held_is_what_store_and_closed_segments_both_have():
    assert held(7, 5) == held(5, 7) == 5


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
