"""kXR_fattr, whose bodies are vectors of names and values, for request and answer.

Name vector: count x (u16 rc, name NUL); value vector: count x (i32 length, bytes).
Source: XProtocol.hh ClientFattrRequest, and answers seen from native 5.5.3.
"""

from struct import Struct
from typing import Final

import msgspec

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import (
    CGI_BYTES_MAX,
    FATTR_NAMES_MAX,
    PATH_BYTES_MAX,
    XATTR_COUNT_MAX,
    XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX,
)
from thesan.core.model.paths import join_cgi, split_cgi
from thesan.core.wire.numbers import FAttrCode
from thesan.core.wire.requests import FAttr

_PARAMS: Final = Struct(">IBBB9x")
_RC: Final = Struct(">H")
_LENGTH: Final = Struct(">i")


class FAttrResult(msgspec.Struct, gc=False):
    """One attribute of an answer. `code` is an Xrd code, 0 when it went well."""

    name: str
    code: int = 0
    value: bytes = b""


def decode_fattr(sid: bytes, params: bytes, body: bytes | bytearray) -> FAttr:
    """Read a request. Raises WireError ArgInvalid, ArgMissing or ArgTooLong."""
    fh, subcode, count, options = _PARAMS.unpack(params)
    if subcode > FAttrCode.SET:
        raise WireError(f"unknown fattr subcode {subcode}", Xrd.ARG_INVALID)
    raw, end = _cut_name(body, 0, PATH_BYTES_MAX + 1 + CGI_BYTES_MAX) if body else ("", 0)
    path, cgi = split_cgi(raw)
    if subcode == FAttrCode.LIST:
        return FAttr(sid, subcode, path, cgi, fh, options)
    if not 0 < count <= FATTR_NAMES_MAX:
        raise WireError(f"1 to {FATTR_NAMES_MAX} attributes are expected", Xrd.ARG_INVALID)
    names = []
    for _ in range(count):
        name, end = _cut_name(body, end + _RC.size, XATTR_NAME_BYTES_MAX)
        if not name:
            raise WireError("attribute name is empty", Xrd.ARG_MISSING)
        names.append(name)
    values = []
    if subcode == FAttrCode.SET:
        for _ in range(count):
            value, end = _cut_value(body, end)
            values.append(value)
    return FAttr(sid, subcode, path, cgi, fh, options, names, values)


def encode_fattr(request: FAttr) -> tuple[bytes, bytes]:
    """(parameters, body) of a request."""
    params = _PARAMS.pack(request.fh, request.subcode, len(request.names), request.options)
    parts = [join_cgi(request.path, request.cgi).encode(), b"\0"]
    for name in request.names:
        parts += [b"\0\0", name.encode(), b"\0"]
    for value in request.values:
        parts += [_LENGTH.pack(len(value)), value]
    return params, b"".join(parts)


def build_fattr(results: list[FAttrResult], *, values: bool = False) -> bytes:
    """Answer body of get (`values`), set and del."""
    errors = sum(1 for result in results if result.code)
    parts = [bytes((errors, len(results)))]
    for result in results:
        parts += [_RC.pack(result.code), result.name.encode(), b"\0"]
    if values:
        for result in results:
            parts += [_LENGTH.pack(len(result.value)), result.value]
    return b"".join(parts)


def parse_fattr(body: bytes, *, values: bool = False) -> list[FAttrResult]:
    """Read an answer to get (`values`), set or del. Raises WireError."""
    if len(body) < 2:
        raise WireError("fattr answer is too short")
    count, end = body[1], 2
    if count > FATTR_NAMES_MAX:
        raise WireError("fattr answer has too many attributes")
    results = []
    for _ in range(count):
        if end + _RC.size > len(body):
            raise WireError("fattr answer is cut short")
        code = _RC.unpack_from(body, end)[0]
        name, end = _cut_name(body, end + _RC.size, XATTR_NAME_BYTES_MAX)
        results.append(FAttrResult(name, code))
    if values:
        for result in results:
            result.value, end = _cut_value(body, end)
    return results


def build_fattr_list(names: list[tuple[str, bytes]], *, values: bool = False) -> bytes:
    """Answer body of list: names, with `values` (aData) each followed by its value."""
    parts = []
    for name, value in names:
        parts += [name.encode(), b"\0"]
        if values:
            parts += [_LENGTH.pack(len(value)), value]
    return b"".join(parts)


def parse_fattr_list(body: bytes, *, values: bool = False) -> list[tuple[str, bytes]]:
    """Read an answer to list: (name, value or empty). Raises WireError."""
    names: list[tuple[str, bytes]] = []
    end = 0
    while end < len(body):
        if len(names) == XATTR_COUNT_MAX:
            raise WireError("fattr list has too many attributes")
        name, end = _cut_name(body, end, XATTR_NAME_BYTES_MAX)
        value = b""
        if values:
            value, end = _cut_value(body, end)
        names.append((name, value))
    return names


def _cut_name(body: bytes | bytearray, start: int, bytes_max: int) -> tuple[str, int]:
    """(text up to the next NUL, position after it)."""
    stop = body.find(b"\0", start)
    if stop < 0:
        raise WireError("name has no closing NUL", Xrd.ARG_INVALID)
    if stop - start > bytes_max:
        raise WireError(f"name is longer than {bytes_max} bytes", Xrd.ARG_TOO_LONG)
    try:
        return body[start:stop].decode(), stop + 1
    except UnicodeDecodeError:
        raise WireError("name is not UTF-8", Xrd.ARG_INVALID) from None


def _cut_value(body: bytes | bytearray, start: int) -> tuple[bytes, int]:
    """(value, position after it) of an i32 length and so many bytes."""
    if start + _LENGTH.size > len(body):
        raise WireError("value has no length", Xrd.ARG_INVALID)
    length = _LENGTH.unpack_from(body, start)[0]
    start += _LENGTH.size
    if length > XATTR_VALUE_BYTES_MAX:
        raise WireError(f"value is longer than {XATTR_VALUE_BYTES_MAX}", Xrd.ARG_TOO_LONG)
    if length < 0 or start + length > len(body):
        raise WireError("value is cut short", Xrd.ARG_INVALID)
    return bytes(body[start : start + length]), start + length
