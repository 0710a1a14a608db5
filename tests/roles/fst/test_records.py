"""What is written beside the data: round trips, names, and nothing but StoreError for bad bytes."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.authority.capability import Op
from thesan.core.model.errors import StoreError
from thesan.roles.fst import records
from thesan.roles.fst.records import Fmd, Marker, MarkerState

MARKER = Marker(
    state=MarkerState.COMMITTING,
    op=Op.CREATE,
    fid=7,
    fsid=3,
    path="/ä",
    is_head=True,
    uid=1,
    gid=2,
    layout=0,
    grant=b"g",
    other_fsids=(4, 5),
    commit=b"c",
)
FMD = Fmd(7, "/ä", 1, 2, 0, 100, 0xFFFFFFFF, 0, 5)


def test_round_trips():
    assert records.decode_marker(records.encode_marker(MARKER)) == MARKER
    assert records.decode_fmd(records.encode_fmd(FMD)) == FMD


@pytest.mark.parametrize("cut", range(0, 24, 3))
def test_torn_records(cut):
    with pytest.raises(StoreError):
        records.decode_marker(records.encode_marker(MARKER)[:cut])
    with pytest.raises(StoreError):
        records.decode_fmd(records.encode_fmd(FMD)[:cut])


@given(st.binary(max_size=60))
def test_other_bytes(data):
    with contextlib.suppress(StoreError):
        records.decode_marker(data)
    with contextlib.suppress(StoreError):
        records.decode_fmd(data)


def test_a_later_version():
    data = records.encode_marker(msgspec.structs.replace(MARKER, version=9))
    with pytest.raises(StoreError, match="version 9"):
        records.decode_marker(data)


@given(st.integers(0, 1 << 63))
def test_paths_follow_eos(fid):
    directory, name = records.data_path(fid).split("/")
    assert int(directory, 16) == fid // 10_000
    assert records.fid_of_name(name) == fid
    assert records.fid_of_name(records.marker_path(fid).rpartition("/")[2]) == fid
    assert records.fid_of_name(records.orphan_path(fid).rpartition("/")[2]) == fid


def test_path_of_a_known_fid():
    assert records.data_path(0x12345) == "00000007/00012345"


@pytest.mark.parametrize(
    "name", ["", "1", "0000000", "0000000G", "0000000A", ".00000001", "000000001", "+0000001"]
)
def test_names_of_other_files(name):
    assert records.fid_of_name(name) is None
