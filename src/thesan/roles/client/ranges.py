"""Vector reads: cut into requests that every server takes, and the answers checked."""

import errno

from thesan.core.model.errors import OperationError, WireError
from thesan.core.model.limits import READV_ITEM_BYTES_MAX, READV_ITEMS_MAX, READV_TOTAL_BYTES_MAX
from thesan.core.wire.bodies import parse_readv
from thesan.roles.client.router import Body


def groups(items: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Cut a vector read into requests that every server takes."""
    found: list[list[tuple[int, int]]] = []
    room = 0
    for offset, length in items:
        if offset < 0 or length < 0 or length > READV_ITEM_BYTES_MAX:
            text = f"vector read of {length} bytes at {offset}: at most {READV_ITEM_BYTES_MAX}"
            raise OperationError(errno.EINVAL, text)
        if not found or len(found[-1]) == READV_ITEMS_MAX or length > room:
            found.append([])
            room = READV_TOTAL_BYTES_MAX
        found[-1].append((offset, length))
        room -= length
    return found


def vector_parts(body: Body, group: list[tuple[int, int]], path: str) -> list[Body]:
    """What was read for each item of `group`. OperationError EPROTO for an answer that makes no
    sense, EINVAL when a range passes the end of the file."""
    try:
        parts = parse_readv(body if isinstance(body, bytes | bytearray) else bytes(body))
    except WireError as error:
        raise OperationError(errno.EPROTO, error.text) from error
    if [(offset, len(data)) for _, offset, data in parts] != group:
        raise OperationError(errno.EINVAL, f"{path}: vector read beyond its end")
    return [data for _, _, data in parts]
