"""Paths: normalise, split, bound. The one place that knows the name rules.

A path is text (UTF-8), absolute, with single slashes and without `.`, `..` and NUL. XRootD clients
send doubled slashes and sometimes a closing NUL (seen from xrdcp 5.5.3), which are forgiven;
`..` never is, since no client sends it for a good reason. A name that is made holds no newline,
since kXR_dirlist puts one between names; one that an older version made can be removed and renamed.
"""

import errno
from typing import Final

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX

QUOTED: Final = "thesan.quoted=1"
"""First item of the CGI of a path that has `%3F` for `?` and `%25` for `%`. XRootD itself can't say
a question mark in a name; thesan's own client says it so, and our servers understand."""


def split_cgi(raw: str) -> tuple[str, str]:
    """Cut `path?cgi` at the first question mark; see QUOTED for names that have one."""
    path, _, cgi = raw.partition("?")
    if cgi.startswith(QUOTED):
        rest = cgi[len(QUOTED) :]
        if not rest or rest[0] == "&":
            return path.replace("%3F", "?").replace("%25", "%"), rest[1:]
    return path, cgi


def join_cgi(path: str, cgi: str) -> str:
    """`path?cgi`, so that `split_cgi` gives both back."""
    if "?" in path:
        path = path.replace("%", "%25").replace("?", "%3F")
        cgi = f"{QUOTED}&{cgi}" if cgi else QUOTED
    return f"{path}?{cgi}" if cgi else path


def parse_cgi(cgi: str) -> dict[str, str]:
    """Read `k=v&k=v`; the first value of a key wins, a key without `=` has an empty value.

    Values are not %-decoded: native XRootD does not either.
    """
    values: dict[str, str] = {}
    for part in cgi.split("&"):
        if part:
            key, _, value = part.partition("=")
            values.setdefault(key, value)
    return values


def components(path: str) -> list[str]:
    """Split an absolute path into checked names; `[]` is the root.

    Raises OperationError EINVAL (relative, NUL, `..`), EILSEQ (not UTF-8) or ENAMETOOLONG.
    """
    # What a client finds on a disk may hold surrogates, which no request can carry.
    if len(path) * 4 > PATH_BYTES_MAX or not path.isascii():
        _check_bytes(path, PATH_BYTES_MAX, "path")
    if not path.startswith("/"):
        raise OperationError(errno.EINVAL, f"path is not absolute: {path[:80]!r}")
    if "\0" in path:
        raise OperationError(errno.EINVAL, "path has a NUL byte inside")
    names = [name for name in path.split("/") if name and name != "."]
    if len(names) > PATH_DEPTH_MAX:
        raise OperationError(errno.ENAMETOOLONG, f"path is deeper than {PATH_DEPTH_MAX}")
    for name in names:
        if name == "..":
            raise OperationError(errno.EINVAL, "path has a '..' component")
        if len(name) > 63:
            _check_bytes(name, NAME_BYTES_MAX, "name")
    return names


def normalise(path: str) -> str:
    """The canonical form of an absolute path. Raises as `components` does."""
    return "/" + "/".join(components(path))


def check_name(name: str) -> None:
    """Check one component of what is made or listed.

    Raises OperationError EINVAL, EILSEQ (not UTF-8) or ENAMETOOLONG.
    """
    if not name or name in (".", "..") or "/" in name or "\0" in name or "\n" in name:
        raise OperationError(errno.EINVAL, f"not a name: {name[:80]!r}")
    _check_bytes(name, NAME_BYTES_MAX, "name")


def parent_and_name(path: str) -> tuple[str, str]:
    """Split a normalised path; the root has no name: OperationError EBUSY."""
    head, _, name = path.rpartition("/")
    if not name:
        raise OperationError(errno.EBUSY, "the root directory can't be changed that way")
    return head or "/", name


def check_text(text: str, what: str) -> int:
    """Bytes of `text` in UTF-8. Raises OperationError EILSEQ when it has none."""
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise OperationError(errno.EILSEQ, f"{what} is not UTF-8: {text[:80]!r}") from error


def _check_bytes(text: str, bytes_max: int, what: str) -> None:
    size = check_text(text, what)
    if size > bytes_max:
        raise OperationError(errno.ENAMETOOLONG, f"{what} has {size} bytes, at most {bytes_max}")
