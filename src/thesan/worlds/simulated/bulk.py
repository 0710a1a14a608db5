"""`ports.bulk` over a simulated connection: the file is read in slices and sent past the buffer."""

import asyncio
import errno
from typing import Final

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import BULK_STALL_SECONDS_MAX, PAGE_BYTES
from thesan.core.wire.pages import pgread_answer
from thesan.ports.disk import Disk, Handle
from thesan.worlds.simulated.transport import SimTransport

SLICE_BYTES: Final = 16 * PAGE_BYTES
"""Small, so that a few slices make up even the small files of a simulation."""


class SimBulk:
    """How big answers leave a simulated process."""

    async def send_file(
        self,
        transport: asyncio.Transport,
        head: bytes,
        disk: Disk,
        handle: Handle,
        offset: int,
        length: int,
    ) -> None:
        """Send `head`, then exactly `length` bytes of the file at `offset`."""
        assert isinstance(transport, SimTransport), "a simulated file leaves by a simulated wire"
        await _send(transport, head)
        end = offset + length
        while offset < end:
            data = await _read(transport, disk, handle, offset, min(SLICE_BYTES, end - offset))
            await _send(transport, data)
            offset += len(data)

    async def send_pages(
        self,
        transport: asyncio.Transport,
        sid: bytes,
        disk: Disk,
        handle: Handle,
        offset: int,
        length: int,
    ) -> None:
        """Answer a kXR_pgread in kXR_status frames, each slice one or more."""
        assert isinstance(transport, SimTransport), "a simulated file leaves by a simulated wire"
        end = offset + length
        while True:
            stop = min(end, (offset // SLICE_BYTES + 1) * SLICE_BYTES)
            data = await _read(transport, disk, handle, offset, stop - offset)
            final = stop == end
            await _send(transport, bytes(pgread_answer(sid, offset, data, final=final)))
            if final:
                return
            offset = stop


async def _read(
    transport: SimTransport, disk: Disk, handle: Handle, offset: int, length: int
) -> bytes:
    try:
        data = await disk.read(handle, offset, length)
        if len(data) < length:
            raise OperationError(errno.EIO, f"file ends at {offset + len(data)}")
    except BaseException:
        transport.abort()
        raise
    return data


async def _send(transport: SimTransport, data: bytes) -> None:
    try:
        async with asyncio.timeout(BULK_STALL_SECONDS_MAX):
            await transport.send_raw(data)
    except ConnectionResetError as error:
        transport.abort()
        raise OperationError(errno.ECONNRESET, "the peer is gone") from error
    except TimeoutError as error:
        transport.abort()
        text = f"the peer took no byte for {BULK_STALL_SECONDS_MAX:.0f} s"
        raise OperationError(errno.ECONNRESET, text) from error
    except BaseException:
        transport.abort()
        raise
