"""Vector reads cut into requests that every server takes."""

import errno

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import READV_ITEM_BYTES_MAX, READV_ITEMS_MAX, READV_TOTAL_BYTES_MAX


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
