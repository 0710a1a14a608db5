"""Pages by file offset: put together, taken apart, every flipped bit found in the right page."""

import google_crc32c
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import PAGE_BYTES, PGREAD_PART_BYTES, PGWRITE_ERRORS_MAX
from thesan.core.wire import pages, responses
from thesan.core.wire.bodies import parse_error
from thesan.core.wire.numbers import Status

SID = b"\1\0"
offsets = st.integers(0, 3 * PAGE_BYTES) | st.integers(0, 2**50)
lengths = st.integers(0, 5 * PAGE_BYTES) | st.sampled_from([1, 4095, 4096, 4097, 8191, 8192])


def content(length: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(length))


def by_hand(data: bytes, offset: int) -> list[bytes]:
    """The plain definition: a page ends where the file offset is a multiple of 4096."""
    found = []
    while data:
        size = PAGE_BYTES - offset % PAGE_BYTES
        found.append(data[:size])
        data, offset = data[size:], offset + size
    return found


@given(offsets, lengths)
@example(0, 0)
@example(4095, 1)
@example(4095, 2)
@example(1, 4095)
@example(1, 4096)
def test_agrees_with_the_definition(offset: int, length: int) -> None:
    data = content(length)
    parts = by_hand(data, offset)
    crcs = [google_crc32c.value(part) for part in parts]
    raw = b"".join(crc.to_bytes(4, "big") + part for crc, part in zip(crcs, parts, strict=True))
    assert pages.page_count(offset, length) == len(parts)
    assert pages.raw_bytes(offset, length) == len(raw)
    assert pages.page_checksums(data, offset) == crcs
    assert pages.page_checksums(memoryview(bytearray(data)), offset) == crcs
    assert pages.interleave(data, offset) == raw
    assert pages.interleave(memoryview(bytearray(data)), offset) == raw
    assert pages.split_pages(raw, offset) == (data, [])
    assert pages.split_pages(bytearray(raw), offset) == (data, [])


@given(offsets, lengths.filter(bool), st.data())
def test_a_flipped_bit_is_found_in_its_page(offset: int, length: int, draw: st.DataObject) -> None:
    data = content(length)
    raw = pages.interleave(data, offset)
    spot = draw.draw(st.integers(0, len(raw) - 1))
    raw[spot] ^= 1 << draw.draw(st.integers(0, 7))
    end = position = 0
    for part in by_hand(data, offset):
        end += 4 + len(part)
        if spot < end:
            break
        position += len(part)
    got, bad = pages.split_pages(raw, offset)
    assert bad == [offset + position]
    assert len(got) == length


def test_bytes_are_left_alone_and_a_bytearray_is_used_up() -> None:
    raw = bytes(pages.interleave(content(9000), 10))
    pages.split_pages(raw, 10)
    assert raw == pages.interleave(content(9000), 10)
    own = bytearray(raw)
    data, _ = pages.split_pages(own, 10)
    assert data.obj is own


def test_a_window_that_is_still_held_does_not_matter() -> None:
    """Event loops keep a reference to the receive buffer while the request is handled."""
    own = pages.interleave(content(9000), 0)
    with memoryview(own) as held:
        data, bad = pages.split_pages(own, 0)
        assert (data, bad) == (content(9000), [])
        assert len(held) == 9000 + 12


@pytest.mark.parametrize("offset", [0, 1, 4094, 4095])
def test_an_end_inside_a_checksum_is_refused(offset: int) -> None:
    whole = pages.interleave(content(3 * PAGE_BYTES), offset)
    sizes = [len(part) for part in by_hand(content(3 * PAGE_BYTES), offset)]
    borders = [sum(sizes[:n]) + 4 * n for n in range(len(sizes))]
    for border in borders:
        for extra in range(border != 0 or 1, 5):
            with pytest.raises(WireError) as caught:
                pages.split_pages(bytearray(whole[: border + extra]), offset)
            assert caught.value.code is Xrd.ARG_INVALID


@given(st.binary(max_size=200), st.integers(0, 9000))
def test_random_bytes_raise_wire_errors_only(raw: bytes, offset: int) -> None:
    try:
        data, bad = pages.split_pages(raw, offset)
    except WireError:
        return
    assert len(data) <= len(raw)
    assert len(bad) <= len(raw) // 5 + 1


def test_an_answer_is_cut_in_parts_on_page_borders() -> None:
    data = content(PAGE_BYTES) * (2 * PGREAD_PART_BYTES // PAGE_BYTES) + b"end"
    frame = pages.pgread_answer(SID, 100, data)
    position, seen = 0, []
    got = b""
    while position < len(frame):
        sid, status, length = responses.HEAD.unpack_from(frame, position)
        assert (sid, status, length) == (SID, Status.STATUS, 24)
        kind = frame[position + 8 + 7]
        size = int.from_bytes(frame[position + 20 : position + 24], "big")
        offset = int.from_bytes(frame[position + 24 : position + 32], "big")
        part, bad = pages.split_pages(frame[position + 32 : position + 32 + size], offset)
        assert not bad
        seen.append((kind, offset, len(part)))
        got += part
        position += 32 + size
    assert got == data
    second = PGREAD_PART_BYTES
    assert seen == [
        (1, 100, second - 100),
        (1, second, second),
        (0, 2 * second, 103),
    ]


def test_an_answer_without_data_is_one_final_frame() -> None:
    frame = pages.pgread_answer(SID, 4096, b"")
    assert frame == responses.pgread_head(SID, 4096, 0, final=True)
    assert len(frame) == 32
    partial = pages.pgread_answer(SID, 0, b"x", final=False)
    assert partial[15] == 1


def test_answers_to_pgwrite() -> None:
    assert pages.pgwrite_answer(SID, 5000, 100, []) == responses.pgwrite_ok(SID, 5000)
    # Bad: the first page (5000..8192) and the last one (12288..12300).
    frame = pages.pgwrite_answer(SID, 5000, 7300, [5000, 12288])
    assert frame == responses.pgwrite_bad(SID, 5000, [5000, 12288], 3192, 12)
    tail = frame[32:]
    assert len(tail) == 8 + 16
    assert int.from_bytes(tail[:4], "big") == google_crc32c.value(bytes(tail[4:]))
    assert tail[4:8] == (3192).to_bytes(2, "big") + (12).to_bytes(2, "big")
    many = [PAGE_BYTES * n for n in range(PGWRITE_ERRORS_MAX + 1)]
    refused = pages.pgwrite_answer(SID, 0, PAGE_BYTES * len(many), many)
    assert parse_error(refused[8:])[0] == Xrd.TOO_MANY_ERRORS
    assert pages.pgwrite_answer(SID, 0, PAGE_BYTES * len(many), many[:-1])[2:4] == b"\x0f\xa7"
