"""Layout ids as EOS packs them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.layouts import (
    CHECKSUM_NAMES,
    EOS_CHECKSUM_NAMES,
    ChecksumKind,
    LayoutKind,
    checksum_kind_of,
    layout_id,
    layout_kind_of,
    replica_count_of,
)


def test_as_eos_prints_it() -> None:
    assert layout_id(LayoutKind.REPLICA, 2, ChecksumKind.ADLER) == 0x112
    assert layout_id(LayoutKind.PLAIN, 1, ChecksumKind.ADLER) == 0x002


@given(st.sampled_from(LayoutKind), st.integers(1, 255), st.sampled_from(ChecksumKind))
def test_round_trip(kind: LayoutKind, count: int, checksum: ChecksumKind) -> None:
    packed = layout_id(kind, count, checksum)
    assert layout_kind_of(packed) is kind
    assert replica_count_of(packed) == count
    assert checksum_kind_of(packed) is checksum


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError):
        layout_kind_of(0x50)
    with pytest.raises(ValueError):
        checksum_kind_of(0x0F)


def test_every_checksum_has_its_names() -> None:
    assert set(CHECKSUM_NAMES) == set(EOS_CHECKSUM_NAMES) == set(ChecksumKind)
