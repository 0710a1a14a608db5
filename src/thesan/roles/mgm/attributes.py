"""kXR_fattr: extended attributes.

XRootD's attribute names are those of the user's own space: `color` is the xattr `user.color`, and
is listed as `color` again. Names that begin with `user.` or `sys.` are taken as they are.
"""

from typing import Final

from thesan.core.model.errors import OperationError, Xrd
from thesan.core.model.identity import Identity
from thesan.core.namespace import admit
from thesan.core.namespace.ops import Op
from thesan.core.wire.fattr import FAttrResult, build_fattr, build_fattr_list
from thesan.core.wire.numbers import FAttrCode, FAttrOption
from thesan.core.wire.requests import FAttr
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm.empty import path_of_handle
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.metadata import caller
from thesan.roles.mgm.operations import operation_id, operation_of, was_done

_USER: Final = "user."
_SYS: Final = "sys."


def xattr_name(name: str) -> str:
    """The xattr that a wire name means."""
    return name if name.startswith((_USER, _SYS)) else _USER + name


def wire_name(name: str) -> str:
    """How an xattr is listed."""
    return name.removeprefix(_USER)


def fattr(master: Master, connection: ServerConnection, request: FAttr) -> bytes | None:
    """kXR_fattr, all four kinds. Attributes are judged one by one: each has a code of its own."""
    path = request.path or path_of_handle(master, connection, request.fh)
    match request.subcode:
        case FAttrCode.LIST:
            return _list(master, connection, request, path)
        case FAttrCode.GET:
            return _get(master, connection, request, path)
        case _:
            return _change(master, connection, request, path)


def _list(master: Master, connection: ServerConnection, request: FAttr, path: str) -> bytes | None:
    found = admit.xattrs(master.namespace, caller(connection), path)
    names = [(wire_name(name), found[name]) for name in sorted(found)]
    body = build_fattr_list(names, values=bool(request.options & FAttrOption.WITH_DATA))
    return master.show(connection, master.namespace.op_count, request.sid, body)


def _get(master: Master, connection: ServerConnection, request: FAttr, path: str) -> bytes | None:
    found = admit.xattrs(master.namespace, caller(connection), path)
    results = []
    for name in request.names:
        value = found.get(xattr_name(name))
        if value is None:
            results.append(FAttrResult(name, int(Xrd.ATTR_NOT_FOUND)))
        else:
            results.append(FAttrResult(name, 0, value))
    body = build_fattr(results, values=True)
    return master.show(connection, master.namespace.op_count, request.sid, body)


def _change(
    master: Master, connection: ServerConnection, request: FAttr, path: str
) -> bytes | None:
    who = caller(connection)
    values = request.values or [b""] * len(request.names)
    results = []
    for number, (name, value) in enumerate(zip(request.names, values, strict=True)):
        op_id = operation_of(who, request.cgi)
        if op_id and number:
            # Each attribute is an operation of its own.
            op_id = operation_id(who, f"{number}|{op_id.hex()}")
        try:
            if not was_done(master, op_id):
                _change_one(master, who, request, path, xattr_name(name), value, op_id)
        except OperationError as error:
            if len(request.names) == 1:
                # Clients look at the request's own status before the attribute's.
                raise
            results.append(FAttrResult(name, int(error.xrd_code)))
        else:
            results.append(FAttrResult(name))
    return master.done(connection, request.sid, build_fattr(results))


def _change_one(
    master: Master,
    who: Identity,
    request: FAttr,
    path: str,
    name: str,
    value: bytes,
    op_id: bytes,
) -> None:
    now_ns = master.now_ns()
    op: Op
    if request.subcode == FAttrCode.SET:
        is_new = bool(request.options & FAttrOption.IS_NEW)
        op = admit.set_xattr(
            master.namespace, who, path, name, value, now_ns, create=is_new, op_id=op_id
        )
    else:
        op = admit.remove_xattr(master.namespace, who, path, name, now_ns, op_id)
    master.submit(op)
