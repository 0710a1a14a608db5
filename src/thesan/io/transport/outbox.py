"""The sending half of a connection: frames queued, written in one piece, one writer at a time.

The transport's buffer limits are 0, so that `pause_writing` means "something is unsent" and its
absence means "the socket took everything". While something is unsent, and during a bulk send past
the transport, frames stay queued here; who fills the queue bounds it by `queued_bytes`.
"""

import asyncio
import errno
from typing import Final

from thesan.core.model.errors import OperationError

_JOIN_BYTES_MAX: Final = 64 * 1024
"""Frames up to this are copied into one block; beyond, the kernel gathers them."""

Block = bytes | bytearray | memoryview


class Outbox:
    """Owns the transport for writing. All methods but `acquire` are synchronous."""

    __slots__ = (
        "_drained",
        "_exclusive",
        "_lock",
        "_paused",
        "_queue",
        "_transport",
        "_unsent_bytes",
        "_unsent_since",
        "is_closed",
        "queued_bytes",
    )

    def __init__(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=0)
        self._transport: asyncio.Transport | None = transport
        self._queue: list[Block] = []
        self.queued_bytes = 0
        """Bytes that wait here; the transport holds at most one flush more."""
        self._paused = False
        self._exclusive = False
        self.is_closed = False
        """True once what is put here leads nowhere. To be looked at only."""
        self._lock = asyncio.Lock()
        self._drained: asyncio.Future[None] | None = None
        self._unsent_bytes = 0
        self._unsent_since = 0.0

    @property
    def transport(self) -> asyncio.Transport:
        """Raises OperationError ECONNRESET when the peer is gone."""
        if self._transport is None:
            raise OperationError(errno.ECONNRESET, "the connection is gone")
        return self._transport

    @property
    def is_exclusive(self) -> bool:
        """True during a bulk send."""
        return self._exclusive

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the socket has not taken, here and in the transport."""
        if self._transport is None:
            return 0
        return self.queued_bytes + self._transport.get_write_buffer_size()

    def put(self, data: Block) -> None:
        """Queue a frame, or the pieces of one in turn, for the next `flush`."""
        self._queue.append(data)
        self.queued_bytes += len(data)

    def flush(self) -> None:
        """Write everything queued at once, unless something is unsent or a bulk send runs."""
        queue = self._queue
        if queue and not self._paused and not self._exclusive and not self.is_closed:
            if len(queue) == 1 and self._transport is not None:
                # Most blocks have one request: no joining, no new list.
                data = queue.pop()
                self.queued_bytes = 0
                self._transport.write(data)
            else:
                self._write()

    def _write(self) -> None:
        queue, self._queue = self._queue, []
        size, self.queued_bytes = self.queued_bytes, 0
        transport = self._transport
        assert transport is not None
        if len(queue) == 1:
            transport.write(queue[0])
        elif size <= _JOIN_BYTES_MAX or transport.is_closing():
            # asyncio's writelines goes on to watch a socket whose connection has just broken.
            transport.write(b"".join(queue))
        else:
            transport.writelines(queue)
            if not self._paused and transport.get_write_buffer_size():
                # Only `write` pauses us in CPython before 3.12.9 and 3.13.2 (CVE-2024-12254);
                # setting the limits makes the transport look at its buffer again.
                transport.set_write_buffer_limits(high=0)

    def close(self) -> None:
        """Send what is queued, then close; a bulk send under way is finished first."""
        if self.is_closed:
            return
        self.is_closed = True
        if not self._exclusive:
            self._finish()

    def _finish(self) -> None:
        if self._transport is not None:
            if self._queue:
                self._write()
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection and what is queued."""
        self.is_closed = True
        self._drop()
        if self._transport is not None:
            self._transport.abort()

    # -- told by the protocol ------------------------------------------------------------------
    def pause(self) -> None:
        """The socket did not take everything."""
        self._paused = True
        self._unsent_bytes = 0

    def resume(self) -> None:
        """The socket took everything; the protocol flushes in its own time."""
        self._paused = False
        self._wake()

    def lost(self) -> None:
        """The connection is gone."""
        self._transport = None
        self.is_closed = True
        self._drop()
        self._wake()

    def _drop(self) -> None:
        self._queue.clear()
        self.queued_bytes = 0

    # -- one writer ----------------------------------------------------------------------------
    async def acquire(self) -> asyncio.Transport:
        """Wait, in order of arrival, to be the only writer of an empty transport; then `release`.

        What was put before leaves first. Raises OperationError ECONNRESET when the peer is gone.
        The wait ends: the listener drops a peer that takes nothing.
        """
        await self._lock.acquire()
        try:
            while not self.is_closed and (self._queue or self._paused):
                if self._paused:
                    await self._until_drained()
                else:
                    self._write()
            if self.is_closed:
                raise OperationError(errno.ECONNRESET, "the connection is gone")
        except BaseException:
            self._lock.release()
            raise
        transport = self.transport
        assert transport.get_write_buffer_size() == 0, "not paused, yet something is unsent"
        self._exclusive = True
        return transport

    def release(self) -> None:
        """End the turn. The caller flushes what was queued meanwhile."""
        assert self._exclusive
        self._exclusive = False
        self._lock.release()
        if self.is_closed:
            self._finish()

    async def _until_drained(self) -> None:
        # Only the holder of the lock waits here.
        self._drained = asyncio.get_running_loop().create_future()
        try:
            await self._drained
        finally:
            self._drained = None

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def has_stalled(self, now: float, seconds_max: float) -> bool:
        """Whether the peer has taken no byte for longer than `seconds_max`; ask now and then."""
        if not self._paused or self._transport is None:
            return False
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent_bytes:
            self._unsent_bytes = unsent
            self._unsent_since = now
            return False
        return now - self._unsent_since > seconds_max
