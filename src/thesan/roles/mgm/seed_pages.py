"""Pages of a store's content: cut the same way wherever the same content is read.

The server of a checkpoint and the MGM that checks what it has written read pages with this one
function; equal content gives equal pages, and so equal digests.
"""

from thesan.core.model.archive_limits import CHECKPOINT_PAGE_BYTES
from thesan.core.namespace.snapshot import SPANS
from thesan.ports.store import Store, StoreHome

Pairs = list[tuple[bytes, bytes]]


async def read_page(
    home: StoreHome, store: Store, after: bytes, bytes_max: int = CHECKPOINT_PAGE_BYTES
) -> tuple[Pairs, bool]:
    """Pairs behind the key `after` (b"": from the beginning), and whether they are the last ones.

    Nothing may be written to the store meanwhile. Raises StoreError.
    """
    start = after + b"\0" if after else b""
    for first, end in SPANS:
        if start >= end:
            continue
        pairs = await home.scan(store, max(start, first), end, bytes_max)
        if pairs:
            return pairs, False
    return [], True
