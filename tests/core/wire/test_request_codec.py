"""Every request goes to bytes and back unchanged; bad bytes are refused, never believed."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import (
    PATH_BYTES_MAX,
    PREPARE_PATHS_MAX,
    READV_ITEM_BYTES_MAX,
    WRITEV_ITEMS_MAX,
)
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import FAttrCode, QueryCode, RequestId
from thesan.core.wire.request_codec import (
    DECODERS,
    HEAD,
    decode,
    decode_writev,
    encode,
    encode_head,
    writev_items,
)

SID = b"\x12\x34"

u8 = st.integers(0, 255)
u16 = st.integers(0, 65535)
u32 = st.integers(0, 2**32 - 1)
i31 = st.integers(0, 2**31 - 1)
i63 = st.integers(0, 2**63 - 1)
sids = st.binary(min_size=2, max_size=2)
session_ids = st.binary(min_size=16, max_size=16)
# No lone surrogates, NUL or `?` in a path, no `\n` where paths are lists.
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0?\n /"), min_size=1)
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
cgis = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n "), max_size=30)
tokens = st.binary(max_size=40).map(lambda raw: raw.rstrip(b"\0"))
items = st.lists(st.tuples(u32, st.integers(0, 4096), i63), min_size=1, max_size=20)


@st.composite
def fattrs(draw: st.DrawFn) -> rq.FAttr:
    subcode = draw(st.sampled_from(FAttrCode))
    keys = draw(st.lists(names.filter(lambda n: len(n) < 60), min_size=1, max_size=16))
    values = draw(st.lists(st.binary(max_size=50), min_size=len(keys), max_size=len(keys)))
    return rq.FAttr(
        draw(sids),
        subcode,
        draw(st.just("") | paths),
        "",
        draw(u32),
        draw(u8),
        [] if subcode is FAttrCode.LIST else keys,
        values if subcode is FAttrCode.SET else [],
    )


@st.composite
def vector_writes(draw: st.DrawFn) -> rq.WriteV:
    sizes = draw(st.lists(st.integers(0, 30), min_size=1, max_size=10))
    parts = [(draw(u32), size, draw(i63)) for size in sizes]
    return rq.WriteV(
        draw(sids), draw(u8), parts, draw(st.binary(min_size=sum(sizes), max_size=sum(sizes)))
    )


path_or_handle = st.tuples(st.just(""), st.just("")) | st.tuples(paths, cgis)
requests = st.one_of(
    st.builds(rq.Protocol, sids, i31, u8, u8),
    st.builds(rq.Login, sids, st.text("abcxyz09", max_size=8), i31, u8, u8, u8, tokens),
    st.builds(rq.Auth, sids, st.sampled_from([b"unix", b"thk", b"sss"]), st.binary(max_size=99)),
    st.builds(rq.Ping, sids),
    st.builds(rq.EndSession, sids, session_ids),
    st.builds(rq.Bind, sids, session_ids),
    st.builds(rq.Open, sids, paths, cgis, u16, u16, u16, u32),
    st.builds(rq.Close, sids, u32),
    st.builds(rq.Read, sids, u32, i63, i31, u8),
    st.builds(rq.ReadV, sids, items, u8),
    st.builds(rq.PgRead, sids, u32, i63, i31, u8, u8),
    st.builds(rq.Write, sids, u32, i63, u8, st.binary(max_size=99)),
    st.builds(rq.PgWrite, sids, u32, i63, u8, u8, st.binary(max_size=99)),
    vector_writes(),
    st.builds(rq.Sync, sids, u32),
    st.builds(
        lambda sid, where, fh, size: rq.Truncate(sid, *where, fh, size),
        sids, path_or_handle, u32, i63,
    ),
    st.builds(
        lambda sid, where, options, fh, wants: rq.Stat(sid, *where, options, fh, wants),
        sids, path_or_handle, u8, u32, u32,
    ),
    st.builds(rq.StatX, sids, st.lists(paths, min_size=1, max_size=5)),
    st.builds(rq.DirList, sids, paths, cgis, u8),
    st.builds(rq.Locate, sids, st.just("*") | paths, cgis, u16),
    st.builds(rq.Mkdir, sids, paths, cgis, u16, u8),
    st.builds(rq.Rm, sids, paths, cgis),
    st.builds(rq.Rmdir, sids, paths, cgis),
    st.builds(rq.Mv, sids, paths, paths, cgis, cgis),
    st.builds(rq.Chmod, sids, paths, cgis, u16),
    st.builds(rq.Query, sids, st.sampled_from(QueryCode), u32, tokens),
    st.builds(rq.Set, sids, u8, tokens),
    fattrs(),
    st.builds(rq.Prepare, sids, u8, u16, u8, u16, st.lists(paths, min_size=1, max_size=5)),
)  # fmt: skip


def take_apart(frame: bytes) -> rq.Request:
    """Decode one whole frame as a server does."""
    sid, requestid, params, length = HEAD.unpack_from(frame)
    body = frame[HEAD.size : HEAD.size + length]
    if requestid == RequestId.WRITEV:
        parts, total = writev_items(body)
        assert len(frame) == HEAD.size + length + total
        return decode_writev(sid, params, parts, frame[HEAD.size + length :])
    assert len(frame) == HEAD.size + length
    return decode(sid, requestid, params, body)


@given(requests)
def test_a_request_survives_the_wire(request: rq.Request) -> None:
    assert take_apart(encode(request)) == request


@given(requests, sids)
def test_the_sid_can_be_given_at_encoding(request: rq.Request, sid: bytes) -> None:
    frame = encode(request, sid)
    assert frame[:2] == sid
    assert frame[2:] == encode(request)[2:]


@given(requests)
def test_the_head_is_the_frame_without_its_data(request: rq.Request) -> None:
    data = request.data if isinstance(request, rq.Write | rq.PgWrite | rq.WriteV) else b""
    assert encode_head(request) + data == encode(request)


@given(requests, st.data())
def test_a_body_cut_short_is_another_request_or_refused(
    request: rq.Request, data: st.DataObject
) -> None:
    frame = encode_head(request)
    sid, requestid, params, _ = HEAD.unpack_from(frame)
    body = frame[HEAD.size :]
    cut = body[: data.draw(st.integers(0, max(0, len(body) - 1)))]
    try:
        if requestid == RequestId.WRITEV:
            writev_items(cut)
        else:
            decode(sid, requestid, params, cut)
    except WireError:
        pass


@given(st.sampled_from(sorted([*DECODERS, 3005, 3012, 3029, 3032, 2999, 3033])),
       st.binary(min_size=16, max_size=16), st.binary(max_size=200))  # fmt: skip
def test_random_bytes_raise_wire_errors_only(requestid: int, params: bytes, body: bytes) -> None:
    try:
        decode(SID, requestid, params, body)
    except WireError as error:
        code = error.code
    else:
        code = Xrd.ARG_INVALID
    assert code in Xrd


def test_every_request_class_has_its_number_and_decoder() -> None:
    classes = [c for c in vars(rq).values() if isinstance(c, type) and hasattr(c, "REQUEST_ID")]
    served = {c.REQUEST_ID for c in classes}
    assert len(served) == len(classes) == 29
    assert served - set(DECODERS) == {RequestId.WRITEV}
    assert set(RequestId) - served == {
        RequestId.GPFILE, RequestId.CHKPOINT, RequestId.SIGVER, RequestId.CLONE
    }  # fmt: skip


@pytest.mark.parametrize("requestid", [RequestId.GPFILE, RequestId.SIGVER, RequestId.CLONE])
def test_known_but_unserved(requestid: RequestId) -> None:
    assert decode(SID, requestid, bytes(16), b"") == rq.Unsupported(SID, requestid)
    assert encode(rq.Unsupported(SID, requestid)) == HEAD.pack(SID, requestid, bytes(16), 0)


def test_checkpoint_with_uncounted_data_ends_the_connection() -> None:
    assert decode(SID, 3012, bytes(16), b"") == rq.Unsupported(SID, 3012)
    with pytest.raises(WireError) as caught:
        decode(SID, 3012, bytes(15) + b"\4", bytes(24))
    assert caught.value.fatal
    assert caught.value.code is Xrd.UNSUPPORTED


@pytest.mark.parametrize("requestid", [0, 2999, 3033, 65535])
def test_an_unknown_request_is_invalid_but_not_fatal(requestid: int) -> None:
    with pytest.raises(WireError, match="invalid request") as caught:
        decode(SID, requestid, bytes(16), b"")
    assert caught.value.code is Xrd.INVALID_REQUEST
    assert not caught.value.fatal


def refused(requestid: int, params: bytes, body: bytes) -> Xrd:
    with pytest.raises(WireError) as caught:
        decode(SID, requestid, params, body)
    assert not caught.value.fatal
    return caught.value.code


def test_refusals_by_argument() -> None:
    read = struct.Struct(">Iqi").pack
    none = bytes(16)
    assert refused(RequestId.READ, read(1, -1, 5), b"") is Xrd.ARG_INVALID
    assert refused(RequestId.READ, read(1, 0, -5), b"") is Xrd.ARG_INVALID
    assert refused(RequestId.PGREAD, read(1, 0, -5), b"") is Xrd.ARG_INVALID
    assert refused(RequestId.WRITE, read(1, -1, 0), b"x") is Xrd.ARG_INVALID
    assert refused(RequestId.PGWRITE, read(1, -1, 0), b"x") is Xrd.ARG_INVALID
    assert refused(RequestId.TRUNCATE, struct.pack(">Iq4x", 0, -1), b"/f") is Xrd.ARG_INVALID
    assert refused(RequestId.OPEN, none, b"") is Xrd.ARG_MISSING
    assert refused(RequestId.OPEN, none, b"?cgi") is Xrd.ARG_MISSING
    assert refused(RequestId.OPEN, none, b"/a\0b") is Xrd.ARG_INVALID
    assert refused(RequestId.OPEN, none, b"/\xff") is Xrd.ARG_INVALID
    assert refused(RequestId.OPEN, none, b"/" + b"a" * PATH_BYTES_MAX) is Xrd.ARG_TOO_LONG
    assert refused(RequestId.MV, none, b"/a") is Xrd.ARG_INVALID
    assert refused(RequestId.MV, none, b" /a") is Xrd.ARG_INVALID
    assert refused(RequestId.MV, none, b"/a ") is Xrd.ARG_INVALID
    assert refused(RequestId.MV, bytes(14) + b"\0\1", b"/a /b") is Xrd.ARG_INVALID
    assert refused(RequestId.MV, bytes(14) + b"\xff\xff", b"/a /b") is Xrd.ARG_INVALID
    assert refused(RequestId.READV, none, b"") is Xrd.ARG_MISSING
    assert refused(RequestId.READV, none, bytes(17)) is Xrd.ARG_INVALID
    assert refused(RequestId.READV, none, bytes(16) * 1025) is Xrd.ARG_TOO_LONG
    item = struct.Struct(">Iiq").pack
    assert refused(RequestId.READV, none, item(1, -1, 0)) is Xrd.ARG_INVALID
    assert refused(RequestId.READV, none, item(1, 1, -1)) is Xrd.ARG_INVALID
    assert refused(RequestId.READV, none, item(1, READV_ITEM_BYTES_MAX + 1, 0)) is Xrd.ARG_TOO_LONG
    assert refused(RequestId.READV, none, item(1, READV_ITEM_BYTES_MAX, 0) * 33) is Xrd.ARG_TOO_LONG
    assert refused(RequestId.STATX, none, b"\n\n") is Xrd.ARG_MISSING
    assert refused(RequestId.PREPARE, none, b"\n" * (PREPARE_PATHS_MAX + 1)) is Xrd.ARG_TOO_LONG


def test_a_vector_write_whose_list_is_wrong_loses_the_stream() -> None:
    item = struct.Struct(">Iiq").pack
    for body in (
        b"",
        bytes(15),
        item(1, -1, 0),
        item(1, 1, -1),
        item(1, 2**31 - 1, 0),
        item(1, 1, 0) * (WRITEV_ITEMS_MAX + 1),
    ):
        with pytest.raises(WireError) as caught:
            writev_items(body)
        assert caught.value.fatal


def test_what_clients_send_besides() -> None:
    """Closing NULs, blanks in paths, read arguments with read-ahead items: as seen from XrdCl."""
    none = bytes(16)
    assert decode(SID, RequestId.STAT, none, b"//d/f\0") == rq.Stat(SID, "//d/f")
    assert decode(SID, RequestId.STAT, none, b"/f?tried=a,b&x=?") == rq.Stat(
        SID, "/f", "tried=a,b&x=?"
    )
    assert decode(SID, RequestId.STAT, struct.pack(">B7xII", 0, 3, 9), b"") == rq.Stat(
        SID, fh=9, wants=3
    )
    assert decode(SID, RequestId.MV, none, b"/a /b") == rq.Mv(SID, "/a", "/b")
    assert decode(SID, RequestId.MV, bytes(14) + b"\0\4", b"/a b /c d") == rq.Mv(
        SID, "/a b", "/c d"
    )
    args = bytes((2, 0, 0, 0, 0, 0, 0, 0)) + bytes(16)
    assert decode(SID, RequestId.READ, struct.pack(">Iqi", 7, 5, 6), args) == rq.Read(
        SID, 7, 5, 6, 2
    )
    assert decode(SID, RequestId.QUERY, struct.pack(">H14x", 7), b"tpc\0") == rq.Query(
        SID, QueryCode.CONFIG, 0, b"tpc"
    )
    # An opaque query may be binary: a closing zero is data.
    assert decode(SID, RequestId.QUERY, struct.pack(">H14x", 16), b"x\0") == rq.Query(
        SID, QueryCode.OPAQUE, 0, b"x\0"
    )
    login = struct.pack(">i8sBBBx", 77, b"joe\0\0\0\0\0", 0, 0xDD, 0x85)
    assert decode(SID, RequestId.LOGIN, login, b"xrd.cc=ch\0") == rq.Login(
        SID, "joe", 77, 0xDD, 0, 0x85, b"xrd.cc=ch"
    )
    assert decode(SID, RequestId.STATX, none, b"/a\n/b?x=1\n") == rq.StatX(SID, ["/a", "/b"])


def test_a_path_that_is_not_unicode_is_the_callers_mistake() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode(rq.Stat(SID, "/\udcff"))
