"""Ops on the instance: fid range, configuration, quota nodes, remembered results."""

import errno

import msgspec

from thesan.core.model.errors import OperationError, StoreError
from thesan.core.model.limits import (
    CONFIG_VALUE_BYTES_MAX,
    OP_ID_BYTES_MAX,
    QUOTA_ACCOUNTS_MAX,
    QUOTA_RECOUNT_ENTRIES_MAX,
    RESULTS_KEPT_MAX,
)
from thesan.core.namespace import edit, keys
from thesan.core.namespace.inode import FLAG_QUOTA, Directory, Inode
from thesan.core.namespace.ops import (
    ConfigSet,
    QuotaRemove,
    QuotaSet,
    RememberResult,
    ReserveFids,
    Result,
)
from thesan.core.namespace.tree import Limits, Tree

_LIMITS_CACHED_MAX = 1000
"""Quota nodes whose limits are kept in memory."""

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_limits_decoder = msgspec.msgpack.Decoder(Limits)
_result_decoder = msgspec.msgpack.Decoder(Result)


def reserve_fids(tree: Tree, op: ReserveFids, tag: int) -> Result:
    """See ops.ReserveFids."""
    if not tree.fid_limit < op.limit < 1 << 63:
        raise OperationError(errno.EINVAL, f"fid limit {tree.fid_limit} can't become {op.limit}")
    tree.fid_limit = op.limit
    tree.tables.changes.append((keys.M_FID, keys.pack_fid(op.limit)))
    return Result()


# -- configuration -------------------------------------------------------------------------------
def config_set(tree: Tree, op: ConfigSet, tag: int) -> Result:
    """See ops.ConfigSet."""
    if "\0" in op.section or "\0" in op.key or not op.section or not op.key:
        raise OperationError(errno.EINVAL, "a configuration section and key are non-empty words")
    if op.value is not None and len(op.value) > CONFIG_VALUE_BYTES_MAX:
        raise OperationError(errno.E2BIG, f"{op.section}/{op.key} is {len(op.value)} bytes long")
    values = section(tree, op.section)
    if op.value is None:
        if op.key not in values:
            return Result(repeated=True)
        del values[op.key]
    else:
        values[op.key] = op.value
    tree.tables.changes.append((keys.config(op.section, op.key), op.value))
    return Result()


def section(tree: Tree, name: str) -> dict[str, bytes]:
    """A configuration section, read once and kept."""
    values = tree.configs.get(name)
    if values is None:
        prefix = keys.config(name, "")
        merged = tree.tables.merged(prefix)
        values = {key[len(prefix) :].decode(): value for key, value in merged.items()}
        tree.configs[name] = values
    return values


# -- quota ---------------------------------------------------------------------------------------
def account_name(kind: str, number: int) -> str:
    """Name of an account in a Q record. EINVAL."""
    if kind not in ("u", "g", "p") or number < 0 or (kind == "p" and number):
        raise OperationError(errno.EINVAL, f"not a quota account: {kind!r} {number}")
    return f"{kind}{number}"


def limits_of(tree: Tree, node: int) -> Limits:
    """Limits of a quota node, read once and kept; do not change the dict."""
    limits = tree.limits.get(node)
    if limits is None:
        if len(tree.limits) >= _LIMITS_CACHED_MAX:
            tree.limits.clear()
        limits = tree.limits[node] = _read_limits(tree, node)
    return limits


def _read_limits(tree: Tree, node: int) -> Limits:
    value = tree.tables.get(keys.quota(node))
    if value is None:
        return {}
    try:
        return _limits_decoder.decode(value)
    except msgspec.DecodeError as error:
        raise StoreError(f"unreadable quota record {node}: {error}") from error


def quota_set(tree: Tree, op: QuotaSet, tag: int) -> Result:
    """See ops.QuotaSet."""
    directory = _directory(tree, op.fid)
    account = account_name(op.kind, op.id)
    if (op.bytes_max or 0) < 0 or (op.files_max or 0) < 0:
        raise OperationError(errno.EINVAL, "a quota limit can't be negative")
    limits = dict(limits_of(tree, op.fid))
    if op.bytes_max is None and op.files_max is None:
        limits.pop(account, None)
    else:
        limits[account] = (op.bytes_max, op.files_max)
    if len(limits) > QUOTA_ACCOUNTS_MAX:
        raise OperationError(errno.ENOSPC, f"more than {QUOTA_ACCOUNTS_MAX} quota accounts")
    if not directory.is_quota_node:
        inside = _charged_below(tree, directory)
        outer = tree.quota_node(directory)
        for inode in inside:
            edit.move_charge(tree, outer, directory.fid, inode)
        directory.flags |= FLAG_QUOTA
        tree.tables.add_to_instance(quota_nodes=1)
        edit.record(tree, directory, tag)
    tree.limits[op.fid] = limits
    tree.tables.changes.append((keys.quota(op.fid), _encoder.encode(limits)))
    return Result(op.fid)


def quota_remove(tree: Tree, op: QuotaRemove, tag: int) -> Result:
    """See ops.QuotaRemove."""
    directory = _directory(tree, op.fid)
    if not directory.is_quota_node:
        raise OperationError(errno.ENODATA, f"{directory.name!r} is not a quota node")
    parent = tree.directories.get(directory.parent)
    outer = tree.quota_node(parent) if parent is not None else 0
    for key in tree.tables.counter_keys(b"NQ" + keys.pack_fid(op.fid)):
        kind, number = keys.quota_account(key)
        physical, logical, files = tree.tables.counters(key, keys.QUOTA_COUNTERS)
        if physical or logical or files:
            tree.tables.add(key, -physical, -logical, -files)
            if outer:
                tree.tables.add(keys.quota_counters(outer, kind, number), physical, logical, files)
    directory.flags &= ~FLAG_QUOTA
    tree.tables.add_to_instance(quota_nodes=-1)
    tree.limits.pop(op.fid, None)
    tree.tables.changes.append((keys.quota(op.fid), None))
    edit.record(tree, directory, tag)
    return Result(op.fid)


def _directory(tree: Tree, fid: int) -> Directory:
    directory = tree.directory(fid)
    if directory is None:
        known = tree.inode(fid) is not None
        raise OperationError(errno.ENOTDIR if known else errno.ENOENT, f"no directory {fid}")
    return directory


def _charged_below(tree: Tree, top: Directory) -> list[Inode]:
    """Files and links that will belong to `top`, those of inner quota nodes excepted. EFBIG when
    there are too many for one op, EXDEV when a hard link leads out."""
    found: dict[int, Inode] = {}
    names: dict[int, int] = {}
    queue = [top]
    seen = 0
    while queue:
        directory = queue.pop()
        seen += directory.size
        if seen > QUOTA_RECOUNT_ENTRIES_MAX:
            raise OperationError(
                errno.EFBIG,
                f"more than {QUOTA_RECOUNT_ENTRIES_MAX} entries below {top.name!r}: "
                "make it a quota node before filling it",
            )
        for inode in _entries(tree, directory):
            if isinstance(inode, Directory):
                if not inode.is_quota_node:
                    queue.append(inode)
            else:
                found[inode.fid] = inode
                names[inode.fid] = names.get(inode.fid, 0) + 1
    for fid, count in names.items():
        if count != found[fid].nlink:
            raise OperationError(errno.EXDEV, f"{found[fid].name!r} has hard links outside")
    return list(found.values())


def _entries(tree: Tree, directory: Directory) -> list[Inode]:
    if directory.complete:
        return [directory.children[name] for name in sorted(directory.children)]
    prefix = keys.entries(directory.fid)
    start: bytes | None = prefix
    inodes: list[Inode] = []
    while start is not None:
        rows, start = tree.tables.scan_group(prefix, start, QUOTA_RECOUNT_ENTRIES_MAX)
        named = [(key[9:].decode(), keys.unpack_fid(value)) for key, value in rows]
        inodes += tree.children_of(directory, named)
    return inodes


# -- remembered results --------------------------------------------------------------------------
def remembered(tree: Tree, op_id: bytes) -> Result | None:
    """The result under an op id, marked as repeated; None when it was not applied or forgotten."""
    value = tree.tables.get(keys.result(op_id))
    if value is None:
        return None
    try:
        kept = _result_decoder.decode(value[8:])
    except msgspec.DecodeError as error:
        raise StoreError(f"unreadable result of {op_id!r}: {error}") from error
    return Result(kept.fid, kept.replaced, kept.answer, repeated=True)


def check_op_id(op_id: bytes) -> None:
    """EINVAL for an id that can't be kept."""
    if not 0 < len(op_id) <= OP_ID_BYTES_MAX:
        raise OperationError(errno.EINVAL, f"an op id has 1 to {OP_ID_BYTES_MAX} bytes")


def remember(tree: Tree, op_id: bytes, result: Result) -> None:
    """Keep a result under a checked op id and forget the one RESULTS_KEPT_MAX before it."""
    changes = tree.tables.changes
    number = tree.result_number
    oldest = keys.result_number(number - RESULTS_KEPT_MAX) if number >= RESULTS_KEPT_MAX else None
    if oldest is not None:
        forgotten = tree.tables.get(oldest)
        if forgotten is not None:
            changes.append((oldest, None))
            changes.append((keys.result(forgotten), None))
    place = keys.pack_fid(number)
    changes.append((keys.result_number(number), op_id))
    changes.append((keys.result(op_id), place + _encoder.encode(result)))
    tree.result_number = number + 1
    changes.append((keys.M_RESULTS, keys.pack_fid(number + 1)))


def remember_result(tree: Tree, op: RememberResult, tag: int) -> Result:
    """See ops.RememberResult."""
    check_op_id(op.op_id)
    if tree.tables.get(keys.result(op.op_id)) is not None:
        raise OperationError(errno.EEXIST, "this operation has a result already")
    result = Result(answer=op.answer)
    remember(tree, op.op_id, result)
    return result
