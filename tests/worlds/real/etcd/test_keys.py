"""Keys and values: order, round trips, refusal of what is foreign."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import Corrupt
from thesan.core.model.ids import Epoch
from thesan.ports.engine import Owner
from thesan.worlds.real.etcd.keys import (
    Keys,
    decode_owner,
    decode_seq,
    encode_owner,
    encode_seq,
)

KEYS = Keys("/thesan")
seqs = st.integers(1, (1 << 63) - 1)


@given(seqs, seqs)
def test_keys_sort_as_numbers(a, b):
    assert (KEYS.entry(a) < KEYS.entry(b)) == (a < b)
    assert KEYS.seq_of(KEYS.entry(a)) == a
    assert decode_seq(encode_seq(a)) == a


@given(seqs)
def test_the_watched_range_holds_beat_and_entries_and_nothing_else(seq):
    for key in (KEYS.beat, KEYS.entry(seq)):
        assert KEYS.beat <= key < KEYS.log_end
    for key in (KEYS.owner, KEYS.newest, KEYS.adopting, *map(Keys("/thesan1").entry, [seq])):
        assert not KEYS.beat <= key < KEYS.log_end
    for key in (KEYS.owner, KEYS.newest, KEYS.adopting, KEYS.beat, KEYS.entry(seq)):
        assert KEYS.all <= key < KEYS.all_end
    assert KEYS.log <= KEYS.entry(seq) < KEYS.log_end


@given(st.builds(Owner, st.text(), st.integers(0, 1 << 62).map(Epoch), st.text(), st.integers(0)))
def test_owners(owner):
    if owner.since_ns >= 1 << 64:
        return
    assert decode_owner(encode_owner(owner)) == owner
    assert encode_owner(decode_owner(encode_owner(owner))) == encode_owner(owner)


def test_foreign_things_are_refused():
    for value in (b"", b"x", b"[]", b'["a",1,"b"]', b'{"node":"a"}', b'["a","1","b",2]'):
        with pytest.raises(Corrupt):
            decode_owner(value)
    for value in (b"", b"x", b"-1", b"1" * 40):
        with pytest.raises(Corrupt):
            decode_seq(value)
    assert KEYS.seq_of(KEYS.beat) is None
    for tail in (b"", b"1", b"x" * 20, b"0" * 21):
        with pytest.raises(Corrupt):
            KEYS.seq_of(KEYS.log + tail)
