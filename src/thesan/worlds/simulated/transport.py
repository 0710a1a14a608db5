"""The process's half of a simulated connection: an asyncio transport, and the server that makes it.

Behaves as asyncio's selector transport does where a protocol can tell: write buffer and its
limits, pausing, half-close, `connection_lost` once and from the loop, BufferedProtocol.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from thesan.worlds.simulated.process import SimProcess, current_process
from thesan.worlds.simulated.tcp import SimSocket

RECEIVE_BYTES_MAX: Final = 256 * 1024
"""Bytes of one data_received, as asyncio's selector transport reads them."""
WRITE_LIMIT_HIGH: Final = 64 * 1024
"""asyncio's default high-water mark."""


class SimTransport(asyncio.Transport):
    """A connection as a protocol sees it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, socket: SimSocket, protocol: asyncio.BaseProtocol
    ) -> None:
        super().__init__({"peername": socket.remote, "sockname": socket.local})
        self._loop = loop
        self._socket = socket
        self._protocol = protocol
        self._context = contextvars.copy_context()
        self._buffer: deque[bytes] = deque()
        self._buffer_bytes = 0
        self._limits = (WRITE_LIMIT_HIGH // 4, WRITE_LIMIT_HIGH)
        self._writing_paused = False
        self._reading_paused = False
        self._reading_ended = False
        self._started = False
        self._pump_due = False
        self._eof_asked = False
        self._closing = False
        self._lost = False
        self._raw_room: asyncio.Future[None] | None = None
        self.ended: Callable[[SimTransport], None] | None = None
        """Called once the protocol has heard of the end."""
        socket.owner = self

    def __repr__(self) -> str:
        return f"<SimTransport {self._socket.local} -> {self._socket.remote}>"

    @property
    def process(self) -> SimProcess | None:
        """Whose connection it is."""
        return self._context.get(current_process)

    def start(self, made: Callable[[], None] | None = None) -> None:
        """Tell the protocol that the connection is made, then begin to deliver."""
        self._loop.call_soon(self._protocol.connection_made, self, context=self._context)
        self._loop.call_soon(self._begin, made, context=self._context)

    def _begin(self, made: Callable[[], None] | None) -> None:
        self._started = True
        if made is not None:
            made()
        self._pump_soon()

    # -- called by the kernel's half -----------------------------------------------------------
    def socket_readable(self) -> None:
        """Something arrived."""
        self._pump_soon()

    def socket_writable(self) -> None:
        """The window has room again."""
        if self._buffer:
            self._loop.call_soon(self._flush, context=self._context)
        self._wake_raw()

    def _wake_raw(self) -> None:
        room, self._raw_room = self._raw_room, None
        if room is not None and not room.done():
            room.set_result(None)

    def socket_failed(self, error: OSError) -> None:
        """The connection is gone."""
        self._loop.call_soon(self._lose, error, context=self._context)

    # -- reading -------------------------------------------------------------------------------
    def _pump_soon(self) -> None:
        if self._started and not self._pump_due:
            self._pump_due = True
            self._loop.call_soon(self._pump, context=self._context)

    def _pump(self) -> None:
        """Hand one block of what has arrived to the protocol."""
        self._pump_due = False
        if self._reading_paused or self._closing or self._reading_ended:
            return
        socket = self._socket
        if socket.inbox:
            try:
                self._deliver(socket)
            except Exception as error:
                self._fatal(error, "the protocol failed on received data")
                return
            if socket.inbox or socket.fin_received:
                self._pump_soon()
        elif socket.fin_received:
            self._reading_ended = True
            self._deliver_eof()

    def _deliver(self, socket: SimSocket) -> None:
        bytes_max = socket.network.receive_bytes(RECEIVE_BYTES_MAX)
        protocol = self._protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            target = memoryview(protocol.get_buffer(-1)).cast("B")
            if not target:
                raise RuntimeError("get_buffer() returned an empty buffer")
            data = socket.read(min(bytes_max, len(target)))
            target[: len(data)] = data
            socket.network.received(socket, data)
            protocol.buffer_updated(len(data))
        else:
            assert isinstance(protocol, asyncio.Protocol)
            data = socket.read(bytes_max)
            socket.network.received(socket, data)
            protocol.data_received(data)

    def _deliver_eof(self) -> None:
        assert isinstance(self._protocol, asyncio.Protocol | asyncio.BufferedProtocol)
        try:
            keep_open = self._protocol.eof_received()
        except Exception as error:
            self._fatal(error, "the protocol failed on the end of the stream")
            return
        if not keep_open:
            self.close()

    def pause_reading(self) -> None:
        """Leave what arrives in the kernel, until the peer's window is used up."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Deliver again."""
        if self._reading_paused and not self._closing:
            self._reading_paused = False
            self._pump_soon()

    def is_reading(self) -> bool:
        """Neither paused nor closing."""
        return not self._reading_paused and not self._closing

    # -- writing -------------------------------------------------------------------------------
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep what the window does not take. The caller may reuse `data` at once."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data: expecting a bytes-like object, got {type(data).__name__}")
        if self._eof_asked:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        block = bytes(data)
        if not self._buffer:
            sent = self._socket.send(block) if not self._socket.gone else 0
            block = block[sent:]
        if block:
            self._buffer.append(block)
            self._buffer_bytes += len(block)
            if self._buffer_bytes > self._limits[1] and not self._writing_paused:
                self._writing_paused = True
                self._tell(self._protocol.pause_writing)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """One write of all parts, as asyncio does since 3.12."""
        self.write(b"".join(list_of_data))

    async def send_raw(self, data: bytes) -> None:
        """Send past the buffer, as ports.bulk does on the raw socket; it must be empty.

        Raises ConnectionResetError when the connection is gone.
        """
        assert not self._buffer, "a raw send would overtake buffered bytes"
        while data:
            if self._lost or self._socket.gone:
                raise ConnectionResetError(104, "Connection reset by peer")
            data = data[self._socket.send(data) :]
            if data:
                self._raw_room = self._loop.create_future()
                await self._raw_room

    def _flush(self) -> None:
        if self._socket.gone:
            return
        while self._buffer:
            block = self._buffer[0]
            sent = self._socket.send(block)
            if not sent:
                break
            self._buffer_bytes -= sent
            if sent < len(block):
                self._buffer[0] = block[sent:]
            else:
                self._buffer.popleft()
        if self._writing_paused and self._buffer_bytes <= self._limits[0]:
            self._writing_paused = False
            self._tell(self._protocol.resume_writing)
        if not self._buffer:
            self._drained()

    def _drained(self) -> None:
        if self._closing:
            self._lose_soon(None)
        elif self._eof_asked:
            self._socket.shutdown()

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._report(error, "the protocol failed on flow control")

    def write_eof(self) -> None:
        """Close the sending half once everything is sent."""
        if not self._closing and not self._eof_asked:
            self._eof_asked = True
            if not self._buffer:
                self._drained()

    def can_write_eof(self) -> bool:
        """TCP can."""
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes that the window has not taken."""
        return self._buffer_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high) in bytes."""
        return self._limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks of pause_writing and resume_writing, with asyncio's defaults."""
        if high is None:
            high = WRITE_LIMIT_HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._limits = (low, high)

    # -- ending --------------------------------------------------------------------------------
    def is_closing(self) -> bool:
        """Close or abort was called, or the connection is lost."""
        return self._closing

    def close(self) -> None:
        """Send what is buffered, then close."""
        if not self._closing:
            self._closing = True
            if not self._buffer:
                self._lose_soon(None)

    def abort(self) -> None:
        """Close at once; buffered bytes are lost."""
        self._closing = True
        self._drop_buffer()
        self._lose_soon(None)

    def _fatal(self, error: BaseException, text: str) -> None:
        self._report(error, text)
        self._closing = True
        self._drop_buffer()
        self._lose_soon(error)

    def _report(self, error: BaseException, text: str) -> None:
        context = {"message": text, "exception": error, "transport": self}
        self._loop.call_exception_handler(context)

    def _drop_buffer(self) -> None:
        self._buffer.clear()
        self._buffer_bytes = 0

    def _lose_soon(self, error: BaseException | None) -> None:
        self._loop.call_soon(self._lose, error, context=self._context)

    def _lose(self, error: BaseException | None) -> None:
        """The one place that ends the connection for the protocol."""
        if self._lost:
            return
        self._lost = True
        self._closing = True
        self._drop_buffer()
        self._socket.close()
        self._wake_raw()
        try:
            self._protocol.connection_lost(error if isinstance(error, Exception) else None)
        finally:
            if self.ended is not None:
                self.ended(self)

    # -- the rest ------------------------------------------------------------------------------
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Whom to tell from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Whom we tell."""
        return self._protocol


class ListeningSocket:
    """What `server.sockets` holds: enough to ask for the port."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def getsockname(self) -> tuple[str, int]:
        """(address, port)."""
        return self._address


class SimServer(asyncio.AbstractServer):
    """A listening port of one process."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        address: tuple[str, int],
        closed: Callable[["SimServer"], None],
    ) -> None:
        self._loop = loop
        self._factory = protocol_factory
        self._closed = closed
        self._context = contextvars.copy_context()
        self._serving = True
        self._ended = loop.create_future()
        self._forever: asyncio.Future[None] | None = None
        self.address = address
        self.clients: dict[SimTransport, None] = {}

    @property
    def process(self) -> SimProcess | None:
        """Who listens."""
        return self._context.get(current_process)

    @property
    def sockets(self) -> tuple[Any, ...]:
        """One listening socket, none after close."""
        return (ListeningSocket(self.address),) if self._serving else ()

    def accept(self, socket: SimSocket) -> None:
        """The kernel completed a connection; the process learns it when it runs."""
        self._loop.call_soon(self._accept, socket, context=self._context)

    def _accept(self, socket: SimSocket) -> None:
        if not self._serving or socket.gone:
            socket.reset()
            return
        transport = SimTransport(self._loop, socket, self._factory())
        self.clients[transport] = None
        transport.ended = self._client_ended
        transport.start()

    def _client_ended(self, transport: SimTransport) -> None:
        self.clients.pop(transport, None)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The simulated loop."""
        return self._loop

    def is_serving(self) -> bool:
        """Until close."""
        return self._serving

    async def start_serving(self) -> None:
        """It serves from its making."""

    async def serve_forever(self) -> None:
        """Wait until cancelled or closed."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self._forever = self._loop.create_future()
        try:
            await self._forever
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening; open connections stay."""
        if self._serving:
            self._serving = False
            self._closed(self)
            if self._forever is not None:
                self._forever.cancel()
            if not self._ended.done():
                self._ended.set_result(None)

    async def wait_closed(self) -> None:
        """Wait for close."""
        await asyncio.shield(self._ended)

    def close_clients(self) -> None:
        """Close every connection that was accepted here."""
        for transport in list(self.clients):
            transport.close()

    def abort_clients(self) -> None:
        """Abort every connection that was accepted here."""
        for transport in list(self.clients):
            transport.abort()
