"""Ids of operations: a client that did not get its answer asks again under the same id.

The result of the first try is in the namespace, so that any later master gives it too. Our own
client says the id in the CGI of XRootD requests and in a field of control messages; foreign
clients have none, and are answered by what they find.
"""

import hashlib

from thesan.core.control.messages import OP_KEY
from thesan.core.model.identity import Identity
from thesan.core.model.paths import parse_cgi
from thesan.roles.mgm.master import Master

_OP_ID_BYTES = 16


def operation_id(who: Identity, op_id: str) -> bytes:
    """The client's id of an operation, made the caller's own: nobody gets another's answer.

    Empty for an empty id.
    """
    if not op_id:
        return b""
    text = f"{who.uid}|{op_id}".encode()
    return hashlib.blake2b(text, digest_size=_OP_ID_BYTES).digest()


def operation_of(who: Identity, cgi: str) -> bytes:
    """The operation id in the CGI of a request; empty when there is none."""
    if OP_KEY not in cgi:
        return b""
    return operation_id(who, parse_cgi(cgi).get(OP_KEY, ""))


def was_done(master: Master, op_id: bytes) -> bool:
    """True when the operation of that id was applied before: its answer is ok."""
    return bool(op_id) and master.namespace.remembered(op_id) is not None
