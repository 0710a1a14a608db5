"""`ports.bulk` on raw sockets: the kernel moves the bytes, the event loop does not see them.

A send works on a duplicate of the connection's descriptor in a worker of the file's disk. While the
peer keeps up, the worker stays; when the socket is full for BULK_POLL_SECONDS it gives its thread
back, and the event loop waits for room: a thousand slow readers hold no thread.
"""

import asyncio
import errno
import os
import select
import socket
import sys
import threading
from array import array
from collections import deque
from typing import Final

from google_crc32c import value as crc32c

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import (
    BULK_POLL_SECONDS,
    BULK_SLICE_BYTES,
    BULK_SLICE_SMALL_BYTES,
    BULK_SLICES_MAX,
    BULK_STALL_SECONDS_MAX,
    PAGE_BYTES,
)
from thesan.core.wire.responses import pgread_head
from thesan.ports.disk import Disk, Handle
from thesan.worlds.real.os_disk import OsDisk

_PAGES: Final = BULK_SLICE_BYTES // PAGE_BYTES
_PAGES_SMALL: Final = BULK_SLICE_SMALL_BYTES // PAGE_BYTES
_STRIDE: Final = PAGE_BYTES + 4
"""A page with its CRC in front."""
_HEAD_BYTES: Final = len(pgread_head(b"\0\0", 0, 0, final=True))


class RealBulk:
    """How big answers leave a real process."""

    def __init__(self) -> None:
        self._buffers: deque[_PageBuffer] = deque()
        self._large_in_use = 0

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
        assert isinstance(disk, OsDisk), "a real connection sends from a real disk"
        await _drive(transport, disk, _FileSend(transport, disk, handle, head, offset, length))

    async def send_pages(
        self,
        transport: asyncio.Transport,
        sid: bytes,
        disk: Disk,
        handle: Handle,
        offset: int,
        length: int,
    ) -> None:
        """Answer a kXR_pgread in kXR_status frames of at most BULK_SLICE_BYTES."""
        assert isinstance(disk, OsDisk), "a real connection sends from a real disk"
        if self._large_in_use >= BULK_SLICES_MAX:
            buffer = _PageBuffer(_PAGES_SMALL)
            send = _PageSend(transport, disk, handle, buffer, sid, offset, length)
            await _drive(transport, disk, send)
            return
        buffer = self._buffers.popleft() if self._buffers else _PageBuffer(_PAGES)
        self._large_in_use += 1
        try:
            send = _PageSend(transport, disk, handle, buffer, sid, offset, length)
            await _drive(transport, disk, send)
            # Only after a send that ended well: a worker of an aborted one may still be inside.
            self._buffers.append(buffer)
        finally:
            self._large_in_use -= 1


class _Send:
    """One answer under way: its socket and file stay open until the last worker has left."""

    def __init__(self, transport: asyncio.Transport, disk: OsDisk, handle: Handle) -> None:
        self._lock = threading.Lock()
        self._busy = False
        self._closed = False
        self._disk = disk
        self._file = disk.pin(handle)
        self.fd = self._file.fd
        try:
            duplicate = os.dup(transport.get_extra_info("socket").fileno())
        except (OSError, AttributeError) as error:
            disk.unpin(self._file)
            raise OperationError(errno.ECONNRESET, "the connection is gone") from error
        # Family and kind are given so that nothing is asked of the system; sending needs neither.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=duplicate)
        self.sent_bytes = 0

    def push(self) -> bool:
        """Send until all is sent (True) or the peer does not drain (False). In a worker."""
        with self._lock:
            if self._closed:
                return True
            self._busy = True
        try:
            while not self._step():
                if not _has_room(self.socket):
                    return False
        except ConnectionError as error:
            raise OSError(errno.ECONNRESET, "the peer is gone") from error
        finally:
            self._leave()
        return True

    def close(self) -> None:
        """Let go; a worker that is still inside finds its socket shut and lets go itself."""
        with self._lock:
            self._closed = True
            if not self._busy:
                self._let_go()
                return
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # already gone, which is what was wanted

    def _leave(self) -> None:
        with self._lock:
            self._busy = False
            if self._closed:
                self._let_go()

    def _let_go(self) -> None:
        self.socket.close()
        self._disk.unpin(self._file)

    def _step(self) -> bool:
        """Send as much as the socket takes; True when all is sent."""
        raise NotImplementedError


class _FileSend(_Send):
    """A head, then a piece of a file, unchanged."""

    def __init__(
        self,
        transport: asyncio.Transport,
        disk: OsDisk,
        handle: Handle,
        head: bytes,
        offset: int,
        length: int,
    ) -> None:
        super().__init__(transport, disk, handle)
        self._head = head
        self._offset = offset
        self._end = offset + length

    def _step(self) -> bool:
        try:
            while self._head:
                # MSG_MORE: head and data leave in common segments.
                flag = socket.MSG_MORE if self._offset < self._end else 0
                count = self.socket.send(self._head, flag)
                self._head = self._head[count:]
                self.sent_bytes += count
            while self._offset < self._end:
                count = os.sendfile(
                    self.socket.fileno(), self.fd, self._offset, self._end - self._offset
                )
                if count == 0:
                    raise OSError(errno.EIO, f"file ends at {self._offset}, not at {self._end}")
                self._offset += count
                self.sent_bytes += count
        except BlockingIOError:
            return False
        return True


class _PageBuffer:
    """Room for one frame: head, then pages at a fixed stride, each after its CRC.

    The disk reads straight into the places between the CRCs, so that page data are copied once. A
    first page that is short, because the file offset is not at a page border, stands at the end of
    its place; the frame then begins later in the buffer.
    """

    def __init__(self, page_count: int) -> None:
        self.page_count = page_count
        self.view = memoryview(bytearray(_HEAD_BYTES + page_count * _STRIDE))
        starts = range(_HEAD_BYTES + 4, len(self.view), _STRIDE)
        self.pages = [self.view[start : start + PAGE_BYTES] for start in starts]
        self._words = self.view.cast("I")

    def fill(self, fd: int, sid: bytes, offset: int, length: int, *, final: bool) -> memoryview:
        """Read `length` bytes at `offset` and return the finished frame. Raises OSError."""
        skip = offset % PAGE_BYTES
        count = -(-(skip + length) // PAGE_BYTES)
        pages = self.pages[:count]
        end = (skip + length) % PAGE_BYTES or PAGE_BYTES
        pages[-1] = pages[-1][:end]
        pages[0] = pages[0][skip:]
        _read_pages(fd, pages, offset, length)
        sums = array("I", map(crc32c, map(bytes, pages)))
        if sys.byteorder == "little":
            sums.byteswap()
        first_word = _HEAD_BYTES // 4
        stride_words = _STRIDE // 4
        self._words[first_word : first_word + count * stride_words : stride_words] = memoryview(
            sums
        )
        start = _HEAD_BYTES + skip
        if skip:
            self.view[start : start + 4] = memoryview(sums)[:1].cast("B")
        head = pgread_head(sid, offset, length + 4 * count, final=final)
        self.view[start - _HEAD_BYTES : start] = head
        return self.view[start - _HEAD_BYTES : start + length + 4 * count]


class _PageSend(_Send):
    """A piece of a file in kXR_status frames."""

    def __init__(
        self,
        transport: asyncio.Transport,
        disk: OsDisk,
        handle: Handle,
        buffer: _PageBuffer,
        sid: bytes,
        offset: int,
        length: int,
    ) -> None:
        super().__init__(transport, disk, handle)
        self._buffer = buffer
        self._sid = sid
        self._offset = offset
        self._end = offset + length
        self._unsent = memoryview(b"")
        self._begun = False

    def _step(self) -> bool:
        try:
            while self._unsent or self._next_frame():
                count = self.socket.send(self._unsent)
                self._unsent = self._unsent[count:]
                self.sent_bytes += count
        except BlockingIOError:
            return False
        return True

    def _next_frame(self) -> bool:
        if self._offset >= self._end:
            if self._begun:
                return False
            self._begun = True
            self._unsent = memoryview(pgread_head(self._sid, self._offset, 0, final=True))
            return True
        # Every frame but the first begins at a page border.
        stop = (self._offset // PAGE_BYTES + self._buffer.page_count) * PAGE_BYTES
        stop = min(stop, self._end)
        self._unsent = self._buffer.fill(
            self.fd, self._sid, self._offset, stop - self._offset, final=stop == self._end
        )
        self._offset, self._begun = stop, True
        return True


def _read_pages(fd: int, pages: list[memoryview], offset: int, length: int) -> None:
    have = os.preadv(fd, pages, offset)
    while have < length:
        # Rare: a signal, or a file that shrank. Find the page where the read stopped.
        rest, skip = [], have
        for page in pages:
            if skip < len(page):
                rest.append(page[skip:])
            skip = max(0, skip - len(page))
        count = os.preadv(fd, rest, offset + have)
        if count == 0:
            raise OSError(errno.EIO, f"file ends at {offset + have}, not at {offset + length}")
        have += count


def _has_room(peer: socket.socket) -> bool:
    """Wait shortly for room in the socket; True also when only an error waits there."""
    poll = select.poll()
    poll.register(peer, select.POLLOUT)
    return bool(poll.poll(BULK_POLL_SECONDS * 1000))


async def _drive(transport: asyncio.Transport, disk: OsDisk, send: _Send) -> None:
    """Push until done. On any failure the connection is aborted: half an answer is no answer."""
    loop = asyncio.get_running_loop()
    moved, moved_at = 0, loop.time()
    try:
        while not await disk.run("send", "", send.push):
            if send.sent_bytes > moved:
                moved, moved_at = send.sent_bytes, loop.time()
            left = moved_at + BULK_STALL_SECONDS_MAX - loop.time()
            await _wait_for_room(loop, send.socket.fileno(), left)
    except BaseException:
        transport.abort()
        raise
    finally:
        send.close()


async def _wait_for_room(loop: asyncio.AbstractEventLoop, fd: int, seconds_max: float) -> None:
    room: asyncio.Future[None] = loop.create_future()
    loop.add_writer(fd, _set_once, room)
    try:
        async with asyncio.timeout(max(0.0, seconds_max)):
            await room
    except TimeoutError as error:
        text = f"the peer took no byte for {BULK_STALL_SECONDS_MAX:.0f} s"
        raise OperationError(errno.ECONNRESET, text) from error
    finally:
        loop.remove_writer(fd)


def _set_once(room: "asyncio.Future[None]") -> None:
    if not room.done():
        room.set_result(None)
