"""Large sends from a disk file straight to a connection, past the event loop's buffers.

The real world does it in a worker thread on the raw socket (sendfile, or preadv + page CRCs +
sendmsg); the simulated world writes to the transport. The caller guarantees that the transport's
own buffer is empty and that nothing else is written to it until the call returns.
"""

import asyncio
from typing import Protocol

from thesan.ports.disk import Disk, Handle


class Bulk(Protocol):
    """How big answers leave."""

    async def send_file(
        self,
        transport: asyncio.Transport,
        head: bytes,
        disk: Disk,
        handle: Handle,
        offset: int,
        length: int,
    ) -> None:
        """Send `head`, then exactly `length` bytes of the file at `offset`.

        The caller has checked that the file is long enough. If it shrank meanwhile, or the peer is
        gone, the transport is aborted and OperationError EIO or ECONNRESET raised: a half-sent
        answer can't be taken back.
        """
        ...

    async def send_pages(
        self,
        transport: asyncio.Transport,
        sid: bytes,
        disk: Disk,
        handle: Handle,
        offset: int,
        length: int,
    ) -> None:
        """Answer a kXR_pgread in kXR_status frames (partial ones, then the final), with CRCs."""
        ...
