"""Answer frames against the layouts of the reference, written out by hand."""

import errno

import google_crc32c

from thesan.core.model.errors import OperationError, WireError, Xrd
from thesan.core.model.limits import ERROR_TEXT_BYTES_MAX
from thesan.core.wire import responses as rs
from thesan.core.wire.numbers import Status

SID = b"\x12\x34"


def test_ok() -> None:
    assert rs.ok(SID).hex() == "1234000000000000"
    assert rs.ok(SID, b"abc").hex() == "1234000000000003616263"
    assert rs.ok_head(SID, 2**20) == rs.ok(SID, bytes(2**20))[:8]
    assert rs.oksofar(SID, b"abc").hex() == "12340fa000000003616263"


def test_error() -> None:
    assert rs.error(SID, 3011, "no").hex() == "12340fa30000000700000bc36e6f00"
    assert len(rs.error(SID, 3011, "x" * 10**6)) == 8 + 4 + ERROR_TEXT_BYTES_MAX + 1
    assert rs.error(SID, 3011, "\udcff").endswith(b"?\0")


def test_error_of_our_own_errors() -> None:
    missing = OperationError(errno.ENOENT, "gone")
    assert rs.error_of(SID, missing) == rs.error(SID, Xrd.NOT_FOUND, "gone")
    bad = WireError("bad", Xrd.ARG_INVALID)
    assert rs.error_of(SID, bad) == rs.error(SID, Xrd.ARG_INVALID, "bad")


def test_redirect_wait_waitresp_authmore() -> None:
    redirect = rs.redirect(SID, "fst1", 1095, "cap.sym=a")
    assert redirect == bytes.fromhex("1234 0fa4 00000012 00000447") + b"fst1?cap.sym=a"
    assert rs.redirect(SID, "h", 1) == bytes.fromhex("1234 0fa4 00000005 00000001") + b"h"
    assert rs.wait(SID, 2, "busy") == bytes.fromhex("1234 0fa5 00000008 00000002") + b"busy"
    assert rs.waitresp(SID, 10) == bytes.fromhex("1234 0fa6 00000004 0000000a")
    assert rs.authmore(SID, b"\1\2") == bytes.fromhex("1234 0fa2 00000002 0102")


def test_asynchronous_answer_is_addressed_to_stream_0() -> None:
    frame = rs.async_response(SID, Status.OK, b"abc")
    assert frame.hex() == (
        "0000" "0fa1" "00000013"  # attn, 19 bytes
        "00001390" "00000000"  # kXR_asynresp, reserved
        "1234" "0000" "00000003" "616263"
    )  # fmt: skip
    assert rs.as_async(rs.ok(SID, b"abc")) == frame
    assert rs.as_async(rs.error(SID, 3005, "x")) == rs.async_response(
        SID, Status.ERROR, b"\0\0\x0b\xbdx\0"
    )


def test_status_frames() -> None:
    head = rs.pgread_head(SID, 8192, 4100, final=False)
    body = bytes.fromhex("12341e0100000000000010040000000000002000")
    assert len(body) == 20
    crc = google_crc32c.value(body).to_bytes(4, "big")
    assert head == bytes.fromhex("1234 0fa7 00000018") + crc + body
    assert rs.pgread_head(SID, 0, 0, final=True)[15] == 0
    good = rs.pgwrite_ok(SID, 4096)
    assert good[12:] == bytes.fromhex("12341a0000000000000000000000000000001000")


def test_pages_wanted_again() -> None:
    frame = rs.pgwrite_bad(SID, 100, [100, 8192], 3996, 7)
    assert frame[:8].hex() == "12340fa700000018", "dlen does not count the list"
    assert frame[20:24] == (24).to_bytes(4, "big"), "dlen2 = 8 + 8n does"
    tail = bytes.fromhex("0f9c000700000000000000640000000000002000")
    assert frame[32:] == google_crc32c.value(tail).to_bytes(4, "big") + tail
