"""Page checksums of kXR_pgread and kXR_pgwrite: CRC-32C for every 4 KiB page of the FILE.

A page ends where the file offset is a multiple of 4096, so the first one of a transfer that begins
elsewhere is short, and so may be the last. On the wire each page is u32 crc32c + its bytes.

Shape of the loops: `Struct.iter_unpack` cuts pages in C, and only one page is alive at a time.
Keeping all pages in a list and joining them is 4 times slower (fresh memory for each), and
google_crc32c takes no memoryview. Measured: 4.4 GB/s to check in place, 4.2 GB/s to interleave.
"""

from struct import Struct
from typing import Final

import google_crc32c

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import PAGE_BYTES, PGREAD_PART_BYTES, PGWRITE_ERRORS_MAX
from thesan.core.wire import responses
from thesan.core.wire.numbers import RESPONSE_HEAD_BYTES

_CRC_BYTES: Final = 4
_UNIT_BYTES: Final = _CRC_BYTES + PAGE_BYTES
_CRC: Final = Struct(">I")
_PAGE: Final = Struct(f"{PAGE_BYTES}s")
_UNIT: Final = Struct(f">I{PAGE_BYTES}s")

_crc32c: Final = google_crc32c.value

Data = bytes | bytearray | memoryview


def _first_bytes(offset: int, data_bytes: int) -> int:
    """Length of the short first page, 0 when `offset` is on a page border."""
    inside = offset % PAGE_BYTES
    return min(PAGE_BYTES - inside, data_bytes) if inside else 0


def page_count(offset: int, data_bytes: int) -> int:
    """Pages that `data_bytes` at `offset` touch."""
    if not data_bytes:
        return 0
    return (offset + data_bytes - 1) // PAGE_BYTES - offset // PAGE_BYTES + 1


def raw_bytes(offset: int, data_bytes: int) -> int:
    """Length on the wire: data and CRCs."""
    return data_bytes + _CRC_BYTES * page_count(offset, data_bytes)


def page_checksums(data: Data, offset: int) -> list[int]:
    """CRC-32C of each page that `data` at file `offset` touches."""
    view = memoryview(data)
    first = _first_bytes(offset, len(view))
    whole = (len(view) - first) // PAGE_BYTES * PAGE_BYTES
    crcs = [_crc32c(view[:first].tobytes())] if first else []
    crcs += [_crc32c(page) for (page,) in _PAGE.iter_unpack(view[first : first + whole])]
    if first + whole < len(view):
        crcs.append(_crc32c(view[first + whole :].tobytes()))
    return crcs


def interleave(data: Data, offset: int) -> bytearray:
    """`data` at file `offset` as the wire wants it: a CRC before each page."""
    raw = bytearray(raw_bytes(offset, len(data)))
    interleave_into(raw, 0, data, offset)
    return raw


def interleave_into(target: bytearray | memoryview, start: int, data: Data, offset: int) -> int:
    """Write what `interleave` returns into `target` at `start`; returns the position after it."""
    view = memoryview(data)
    first = _first_bytes(offset, len(view))
    whole = (len(view) - first) // PAGE_BYTES * PAGE_BYTES
    if first:
        start = _put_short(target, start, view[:first])
    pack_into = _UNIT.pack_into
    for (page,) in _PAGE.iter_unpack(view[first : first + whole]):
        pack_into(target, start, _crc32c(page), page)
        start += _UNIT_BYTES
    if first + whole < len(view):
        start = _put_short(target, start, view[first + whole :])
    return start


def _put_short(target: bytearray | memoryview, start: int, part: memoryview) -> int:
    page = part.tobytes()
    _CRC.pack_into(target, start, _crc32c(page))
    start += _CRC_BYTES
    target[start : start + len(page)] = page
    return start + len(page)


def split_pages(raw: bytes | bytearray, offset: int) -> tuple[memoryview, list[int]]:
    """Check and strip the CRCs of what came for file `offset`: (data, file offsets of bad pages).

    A bytearray is changed IN PLACE and the data are a view of it: a second buffer of its size would
    cost more than the checksums, and it can't shrink while an event loop still holds its window.
    Bad pages stay in the data. Raises WireError ArgInvalid when `raw` ends inside a CRC.
    """
    data = raw if isinstance(raw, bytearray) else bytearray(raw)
    length = len(data)
    first = _first_bytes(offset, max(0, length - _CRC_BYTES))
    start = _CRC_BYTES + first if first else 0
    whole = (length - start) // _UNIT_BYTES * _UNIT_BYTES
    last = length - start - whole
    if 0 < length <= _CRC_BYTES or 0 < last <= _CRC_BYTES:
        raise WireError("page data end inside a checksum", Xrd.ARG_INVALID)
    bad: list[int] = []
    view = memoryview(data)
    end = _check_short(view, 0, start, 0, offset, bad) if first else 0
    put = _PAGE.pack_into
    for crc, page in _UNIT.iter_unpack(view[start : start + whole]):
        if _crc32c(page) != crc:
            bad.append(offset + end)
        put(view, end, page)
        end += PAGE_BYTES
    if last:
        end = _check_short(view, start + whole, length, end, offset, bad)
    return view[:end], bad


def _check_short(
    view: memoryview, start: int, stop: int, end: int, offset: int, bad: list[int]
) -> int:
    """Check the short page in `start:stop` and move it to `end`; returns the end of the data."""
    page = view[start + _CRC_BYTES : stop].tobytes()
    if _crc32c(page) != _CRC.unpack_from(view, start)[0]:
        bad.append(offset + end)
    view[end : end + len(page)] = page
    return end + len(page)


def pgread_answer(sid: bytes, offset: int, data: Data, *, final: bool = True) -> bytearray:
    """Whole answer to a kXR_pgread: status frames of PGREAD_PART_BYTES each, ready to send.

    With `final` false the last frame is partial too, and more answers must follow.
    """
    view = memoryview(data)
    parts = []
    position = 0
    while True:
        size = min(len(view) - position, PGREAD_PART_BYTES - (offset + position) % PAGE_BYTES)
        parts.append((position, size))
        position += size
        if position >= len(view):
            break
    head_bytes = RESPONSE_HEAD_BYTES + responses.STATUS_INFO_BYTES
    total = sum(head_bytes + raw_bytes(offset + at, size) for at, size in parts)
    frame = bytearray(total)
    end = 0
    for at, size in parts:
        last = final and at + size >= len(view)
        length = raw_bytes(offset + at, size)
        head = responses.pgread_head(sid, offset + at, length, final=last)
        frame[end : end + head_bytes] = head
        end = interleave_into(frame, end + head_bytes, view[at : at + size], offset + at)
    return frame


def pgwrite_answer(sid: bytes, offset: int, data_bytes: int, bad_offsets: list[int]) -> bytes:
    """Answer to a kXR_pgwrite of `data_bytes` (CRCs not counted) after `split_pages`.

    More than PGWRITE_ERRORS_MAX bad pages are kXR_TooManyErrs: the client gives up.
    """
    if not bad_offsets:
        return responses.pgwrite_ok(sid, offset)
    if len(bad_offsets) > PGWRITE_ERRORS_MAX:
        return responses.error(sid, Xrd.TOO_MANY_ERRORS, "too many pages with a wrong checksum")
    end = offset + data_bytes
    first, last = (
        min(PAGE_BYTES - bad % PAGE_BYTES, end - bad) for bad in (bad_offsets[0], bad_offsets[-1])
    )
    return responses.pgwrite_bad(sid, offset, bad_offsets, first, last)
