"""Clients that come back from the master to the MGM that had sent them there.

XrdCl takes the first manager that redirects it for its load balancer. An error of a server behind
it that another server might not have (NotFound, IOError, FSError, ServerError) sends it back to the
load balancer, with the server's name in `tried=` and the reason in `triedrc=` (reference: XrdCl
XRootDMsgHandler, HandleError and UpdateTriedCGI). For us "behind the load balancer" are the FSTs,
and the master too: its plain ENOENT comes to a standby, which has to say it once more; otherwise
the client would be sent back and forth, or wait for ever.
"""

import errno
from typing import Final

from thesan.core.model.errors import OperationError, Xrd
from thesan.core.model.identity import ROOT
from thesan.core.model.paths import parse_cgi
from thesan.core.namespace.queries import lookup
from thesan.core.namespace.state import Namespace
from thesan.core.wire.numbers import OpenFlag
from thesan.core.wire.requests import Open, Request

TRIED_KEY: Final = "tried"
REASON_KEY: Final = "triedrc"
_ERRORS: Final = {
    "enoent": Xrd.NOT_FOUND,
    "ioerr": Xrd.IO_ERROR,
    "fserr": Xrd.FS_ERROR,
    "srverr": Xrd.SERVER_ERROR,
}
"""Words of UpdateTriedCGI; a broken connection has none."""
_MAKES: Final = int(OpenFlag.NEW | OpenFlag.DELETE)


def final_error(namespace: Namespace, request: Request, cgi: str) -> Xrd | None:
    """The error that the client has to be told again; None: send it on, to try once more."""
    if TRIED_KEY not in cgi:
        return None
    values = parse_cgi(cgi)
    tried, reasons = values.get(TRIED_KEY, "").split(","), values.get(REASON_KEY, "").split(",")
    if len(tried) != len(reasons):
        # Some server was lost without a word, and we can't know which: the master decides anew.
        return None
    error = _ERRORS.get(reasons[-1])
    if error is None:
        return None
    if isinstance(request, Open):
        # Perhaps an FST said so, and there are others; only a name that is not there is certain.
        return error if error is Xrd.NOT_FOUND and not _has_name(namespace, request) else None
    # All else is answered by the master itself: it was its own word.
    return error


def _has_name(namespace: Namespace, request: Open) -> bool:
    path = request.path
    if request.options & _MAKES:
        path = path.rpartition("/")[0] or "/"
    try:
        lookup(namespace, path, ROOT)
    except OperationError as error:
        return error.errno not in (errno.ENOENT, errno.ENOTDIR)
    return True
