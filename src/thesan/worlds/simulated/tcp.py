"""The kernel's half of a simulated TCP connection: windows, unread bytes, FIN and RST.

It outlives the process that opened it for as long as a real kernel would: what was accepted for
sending still arrives after kill -9, an unread byte turns a close into a reset, a power cut leaves
the peer believing in a connection that is gone.
"""

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from thesan.worlds.simulated.machine import Machine
    from thesan.worlds.simulated.network import Network
    from thesan.worlds.simulated.process import SimProcess
    from thesan.worlds.simulated.transport import SimTransport

SEGMENT_BYTES_MAX: Final = 128 * 1024
"""Bytes that travel together; longer sends become several arrivals."""
TCP_GIVE_UP_SECONDS: Final = 924.6
"""Linux' tcp_retries2 of 15: data to a silent peer fails after this long."""


class Signal(Enum):
    """What travels besides bytes."""

    FIN = "fin"
    RST = "rst"


Segment = bytes | Signal


class SimSocket:
    """One end of a connection."""

    def __init__(
        self,
        network: "Network",
        process: "SimProcess",
        local: tuple[str, int],
        remote: tuple[str, int],
    ) -> None:
        self.network = network
        self.process = process
        self.machine: Machine = process.machine
        self.local = local
        self.remote = remote
        self.peer: SimSocket
        """The other end; set by Network.connect right after both were made."""
        self.owner: SimTransport | None = None
        """Whom to tell; None once the process closed it or died."""
        self.inbox: deque[bytes] = deque()
        """Arrived and not read, at most `network.window_bytes`."""
        self.fin_received = False
        self.fin_sent = False
        self.gone = False
        """Closed, reset or vanished: what arrives now is answered by RST, or by nobody."""
        self.vanished = False
        """Its machine lost power: nobody said goodbye."""
        self.in_flight_bytes = 0
        """Sent, and not yet read by the peer's process."""
        self.arrival_last = 0.0
        """Segments of one direction arrive in order."""
        self.held: list[Segment] = []
        """Not arrived for a cut; TCP goes on retransmitting, whatever became of the process."""
        self.unanswered = False
        """Something was sent to a peer that vanished."""

    # -- the process's side ------------------------------------------------------------------
    def send(self, data: bytes) -> int:
        """Take as many bytes as the window allows; returns how many."""
        assert not self.fin_sent, "bytes after the end of the stream"
        room = self.network.window_bytes - self.in_flight_bytes
        accepted = min(len(data), room)
        if accepted <= 0:
            return 0
        self.in_flight_bytes += accepted
        for start in range(0, accepted, SEGMENT_BYTES_MAX):
            self.network.transmit(self, data[start : min(start + SEGMENT_BYTES_MAX, accepted)])
        return accepted

    def shutdown(self) -> None:
        """Say that nothing more will be sent."""
        if not self.fin_sent and not self.gone:
            self.fin_sent = True
            self.network.transmit(self, Signal.FIN)

    def read(self, bytes_max: int) -> bytes:
        """Take at most `bytes_max` of what has arrived."""
        parts: list[bytes] = []
        left = bytes_max
        while self.inbox and left > 0:
            part = self.inbox.popleft()
            if len(part) > left:
                self.inbox.appendleft(part[left:])
                part = part[:left]
            parts.append(part)
            left -= len(part)
        self.peer.acknowledged(bytes_max - left)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close both directions. Unread bytes make it a reset, as Linux does."""
        self.owner = None
        if self.gone:
            return
        if self.inbox:
            self.reset()
            return
        self.shutdown()
        self._release()

    def reset(self) -> None:
        """Close by RST: what the peer has not read yet is lost."""
        self.owner = None
        if not self.gone:
            self.network.transmit(self, Signal.RST)
            self._release()

    def vanish(self) -> None:
        """The machine lost power."""
        self.owner = None
        self.vanished = True
        self._release()

    # -- the network's side ------------------------------------------------------------------
    def acknowledged(self, byte_count: int) -> None:
        """The peer's process has read that many bytes."""
        self.in_flight_bytes -= byte_count
        assert self.in_flight_bytes >= 0, "more read than was sent"
        if self.owner is not None and byte_count:
            self.owner.socket_writable()

    def arrive(self, segment: Segment) -> None:
        """A segment reached this machine's kernel."""
        if self.gone:
            if isinstance(segment, bytes) or (segment is Signal.FIN and self.vanished):
                self._refuse()
            return
        if segment is Signal.RST:
            self.fail(ConnectionResetError(104, "Connection reset by peer"))
        elif segment is Signal.FIN:
            self.fin_received = True
            if self.owner is not None:
                self.owner.socket_readable()
        else:
            assert isinstance(segment, bytes)
            assert not self.fin_received, "bytes after the end of the stream"
            self.inbox.append(segment)
            if self.owner is not None:
                self.owner.socket_readable()

    def fail(self, error: OSError) -> None:
        """The connection broke: unread bytes are gone, the process learns it now."""
        self.inbox.clear()
        owner, self.owner = self.owner, None
        self._release()
        if owner is not None:
            owner.socket_failed(error)

    def _refuse(self) -> None:
        """A segment came for a connection that this machine does not have."""
        if self.machine.powered:
            self.network.transmit(self, Signal.RST)
        elif not self.peer.unanswered:
            self.peer.unanswered = True
            self.network.give_up_later(self.peer, TCP_GIVE_UP_SECONDS)

    def _release(self) -> None:
        self.gone = True
        self.inbox.clear()
        self.machine.sockets.pop(self, None)
