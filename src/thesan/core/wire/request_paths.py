"""Paths in request bodies: cut off NUL and CGI, check UTF-8 and length. Shared by the codec.

Normalising (`//`, `.`, `..`) is not done here: a path is passed on as the client wrote it.
"""

from typing import NoReturn

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import CGI_BYTES_MAX, PATH_BYTES_MAX, PREPARE_PATHS_MAX
from thesan.core.model.paths import join_cgi, split_cgi


def refuse(text: str, code: Xrd = Xrd.ARG_INVALID) -> NoReturn:
    """Raise the (not fatal) WireError for a bad argument."""
    raise WireError(text, code)


def cut_text(body: bytes | bytearray) -> str:
    """A text body without its closing NULs; no NUL may be inside."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        refuse("path is not UTF-8")
    if "\0" in text:
        text = text.rstrip("\0")
        if "\0" in text:
            refuse("path has a NUL byte inside")
    return text


def cut_path(body: bytes | bytearray) -> tuple[str, str]:
    """(path, cgi) of a body that must hold a path. Raises WireError Arg*."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        refuse("path is not UTF-8")
    if "\0" in text:
        text = cut_text(body)
    path, cgi = split_cgi(text) if "?" in text else (text, "")
    if not path:
        refuse("path is missing", Xrd.ARG_MISSING)
    if len(body) > PATH_BYTES_MAX:
        _check_long(path, cgi)
    return path, cgi


def _check_long(path: str, cgi: str) -> None:
    if len(path.encode()) > PATH_BYTES_MAX:
        refuse(f"path is longer than {PATH_BYTES_MAX} bytes", Xrd.ARG_TOO_LONG)
    if len(cgi.encode()) > CGI_BYTES_MAX:
        refuse(f"CGI is longer than {CGI_BYTES_MAX} bytes", Xrd.ARG_TOO_LONG)


def join_path(path: str, cgi: str) -> bytes:
    """Body text of a path and its CGI."""
    return join_cgi(path, cgi).encode()


def cut_paths(body: bytes | bytearray) -> list[str]:
    """Newline-separated paths, each with its CGI. Raises WireError Arg*."""
    if body.count(b"\n") > PREPARE_PATHS_MAX:
        refuse(f"more than {PREPARE_PATHS_MAX} paths", Xrd.ARG_TOO_LONG)
    paths = [path for path in cut_text(body).split("\n") if path]
    if not paths:
        refuse("path is missing", Xrd.ARG_MISSING)
    for path in paths:
        if len(path) > PATH_BYTES_MAX // 4:
            _check_long(*path.partition("?")[::2])
    return paths
