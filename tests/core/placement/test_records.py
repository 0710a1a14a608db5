"""Configuration records as the journal keeps them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import Corrupt
from thesan.core.placement.records import (
    FsRecord,
    GroupRecord,
    NodeRecord,
    SpaceRecord,
    decode_record,
    encode_record,
)

words = st.text(max_size=20)
numbers = st.integers(0, 2**63)
settings = st.dictionaries(words, words, max_size=3)
records = st.one_of(
    st.builds(
        FsRecord,
        uuid=words,
        node=words,
        path=words,
        space=words,
        group=words,
        configstatus=words,
        headroom_bytes=numbers,
        boot_request=numbers,
        geotag=words,
        comment=words,
        settings=settings,
    ),
    st.builds(NodeRecord, status=words, settings=settings),
    st.builds(GroupRecord, status=words),
    st.builds(
        SpaceRecord,
        group_size=numbers,
        group_count=numbers,
        status=words,
        nominal_bytes=numbers,
        settings=settings,
    ),
)


@given(records)
def test_round_trip(record):
    assert decode_record(type(record), encode_record(record)) == record


def test_versions_meet():
    later = msgspec.msgpack.encode({"status": "off", "colour": "red"})
    assert decode_record(NodeRecord, later) == NodeRecord(status="off")
    assert decode_record(NodeRecord, msgspec.msgpack.encode({})) == NodeRecord()


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x81\xa6status\x01", b"\x90"])
def test_unreadable_records_are_corrupt(data):
    with pytest.raises(Corrupt):
        decode_record(NodeRecord, data)
