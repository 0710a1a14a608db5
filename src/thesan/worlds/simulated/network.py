"""The simulated network: machines, links with latency, cuts, and how connections come about.

Segments of one direction of one connection arrive in order; everything else is in seeded disorder.
What meets a cut link is sent again in growing pauses, as TCP does: it arrives some time after the
link has healed, and also when its sender has closed the connection or died meanwhile. Names and
addresses both resolve.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thesan.core.model.tcp_limits import (
    TCP_KEEPALIVE_IDLE_SECONDS,
    TCP_KEEPALIVE_PAUSE_SECONDS,
    TCP_KEEPALIVE_TRIES,
)
from thesan.worlds.simulated.machine import Machine
from thesan.worlds.simulated.process import ProcessState, SimProcess, current_process
from thesan.worlds.simulated.tcp import Segment, Signal, SimSocket
from thesan.worlds.simulated.transport import SimServer, SimTransport

if TYPE_CHECKING:
    from thesan.worlds.simulated.loop import SimLoop

SYN_PAUSES_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Linux' tcp_syn_retries of 6: a connect to silence fails after 127 s."""
RETRANSMIT_SECONDS_MIN: Final = 0.2
"""Linux' least retransmission timeout; doubled for each loss of the same packet."""
RETRANSMIT_SECONDS_MAX: Final = 120.0
"""Linux' TCP_RTO_MAX."""
RETRANSMIT_SECONDS_STOP: Final = 6.4
"""The simulation loses no packet more often than this timeout stands for."""
LATE_SECONDS: Final = (0.5, 4.0)
"""How much later a late packet is: more than any limit of silence."""
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", ""})
"""Names of the caller's own machine."""


@dataclass(frozen=True)
class NetworkSettings:
    """How slow and how uneven the network of one run is."""

    latency_seconds: float = 0.0002
    """Least one-way time."""
    jitter_seconds: float = 0.0001
    """Mean of the exponential addition."""
    bytes_per_second: float = 1e9
    window_bytes: int = 1 << 20
    """Bytes of one direction that may be unread by the peer's process."""
    split_share: float = 0.02
    """Share of reads that see a random part of what has arrived."""


@dataclass(frozen=True)
class BadLink:
    """How bad one direction between two machines is."""

    loss: float = 0.0
    """Share of packets that are lost, and sent again by TCP after its timeout."""
    late: float = 0.0
    """Share of packets that arrive LATE_SECONDS later."""


class Network:
    """All machines and what lies between them."""

    def __init__(self, loop: "SimLoop", seed: str, settings: NetworkSettings) -> None:
        self._loop = loop
        self._random = random.Random(f"{seed} network")
        self.settings = settings
        self.window_bytes = settings.window_bytes
        self.machines: dict[str, Machine] = {}
        self._names: dict[str, Machine] = {}
        self._cuts: dict[tuple[str, str], int] = {}
        self._delays: dict[tuple[str, str], float] = {}
        self._bad: dict[tuple[str, str], BadLink] = {}
        self._process_count = 0
        self._holding: dict[SimSocket, None] = {}
        """Sockets, closed ones too, with segments that a cut holds."""
        self._watches: list[tuple[str, int, asyncio.Future[None]]] = []

    # -- machines and processes ----------------------------------------------------------------
    def machine(self, name: str) -> Machine:
        """The machine of that name, made at the first call."""
        machine = self.machines.get(name)
        if machine is None:
            machine = Machine(len(self.machines) + 1, name)
            self.machines[name] = machine
            self._names[name] = self._names[machine.address] = machine
        return machine

    def process(self, machine_name: str, name: str) -> SimProcess:
        """A new process on a machine."""
        self._process_count += 1
        machine = self.machine(machine_name)
        process = SimProcess(self._process_count, machine, name)
        machine.processes[process] = None
        return process

    def thread(self, process: SimProcess, name: str) -> SimProcess:
        """A thread of a process, with a loop of its own: a stall of the process is none of it."""
        thread = self.process(process.machine.name, f"{process.name}.{name}")
        process.threads.append(thread)
        if not process.alive:
            self._stop(thread)
        elif process.state is ProcessState.PAUSED:
            self._hold(thread)
        return thread

    def here(self) -> SimProcess:
        """The process of the running callback; the observer gets one on machine `localhost`."""
        process = current_process.get()
        if process is None:
            localhost = self.machine("localhost")
            process = next(iter(localhost.processes), None) or self.process("localhost", "observer")
        return process

    def resolve(self, name: str, caller: Machine) -> Machine:
        """Raises OSError EAI_NONAME for an unknown name."""
        if name in LOOPBACK_NAMES:
            return caller
        machine = self._names.get(name)
        if machine is None:
            raise OSError(-2, f"Name or service not known: {name}")
        return machine

    # -- connections ---------------------------------------------------------------------------
    def listen(self, protocol_factory: Callable[[], asyncio.BaseProtocol], port: int) -> SimServer:
        """Listen on a port of the caller's machine, 0 for a free one."""
        machine = self.here().machine
        if not port:
            port = machine.ephemeral_port()
        if port in machine.listeners:
            raise OSError(98, f"error while attempting to bind on port {port}: in use")

        def closed(server: SimServer) -> None:
            if machine.listeners.get(port) is server:
                del machine.listeners[port]

        server = SimServer(self._loop, protocol_factory, (machine.address, port), closed)
        machine.listeners[port] = server
        return server

    async def connect(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> tuple[SimTransport, asyncio.BaseProtocol]:
        """A connection from the caller's process. Raises OSError as connect(2) does."""
        process = self.here()
        target = self.resolve(host, process.machine)
        for pause in SYN_PAUSES_SECONDS:
            there, back = (process.machine, target), (target, process.machine)
            await asyncio.sleep(self._latency(*there, 0) + self._latency(*back, 0))
            if target.powered and not self.is_cut(*there) and not self.is_cut(*back):
                break
            await asyncio.sleep(pause)
        else:
            raise TimeoutError(110, f"Connect call failed ({host!r}, {port})")
        server = target.listeners.get(port)
        if server is None:
            raise ConnectionRefusedError(111, f"Connect call failed ({host!r}, {port})")
        ours, theirs = self._pair(process, server)
        protocol = protocol_factory()
        transport = SimTransport(self._loop, ours, protocol)
        server.accept(theirs)
        made: asyncio.Future[None] = self._loop.create_future()
        transport.start(lambda: None if made.done() else made.set_result(None))
        try:
            await made
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def _pair(self, process: SimProcess, server: SimServer) -> tuple[SimSocket, SimSocket]:
        server_process = server.process or self.here()
        local = (process.machine.address, process.machine.ephemeral_port())
        remote = (server_process.machine.address, server.address[1])
        ours = SimSocket(self, process, local, remote)
        theirs = SimSocket(self, server_process, remote, local)
        ours.peer, theirs.peer = theirs, ours
        process.machine.sockets[ours] = None
        server_process.machine.sockets[theirs] = None
        self._ask_later(theirs, TCP_KEEPALIVE_IDLE_SECONDS)
        return ours, theirs

    # -- segments ------------------------------------------------------------------------------
    def transmit(self, socket: SimSocket, segment: Segment) -> None:
        """Send a segment to the peer; a cut holds it. A reset is said once, and what was to be sent
        before it is thrown away."""
        if segment is Signal.RST:
            socket.held.clear()
            self._holding.pop(socket, None)
            if self.is_cut(socket.machine, socket.peer.machine):
                return
        if socket.held or self.is_cut(socket.machine, socket.peer.machine):
            if not socket.held:
                self._holding[socket] = None
                self._retransmit_later(socket, RETRANSMIT_SECONDS_MIN)
            socket.held.append(segment)
            return
        self._send(socket, segment)

    def _send(self, socket: SimSocket, segment: Segment) -> None:
        size = len(segment) if isinstance(segment, bytes) else 0
        now = self._loop.now
        when = now + self._latency(socket.machine, socket.peer.machine, size)
        self._send_at(socket, segment, when)

    def _retransmit_later(self, socket: SimSocket, pause: float) -> None:
        self._loop.outside_at(self._loop.now + pause, self._retransmit, socket, pause)

    def _retransmit(self, socket: SimSocket, pause: float) -> None:
        """The kernel tries again, also for a process that closed the connection or is dead."""
        if socket not in self._holding:
            return  # its machine has lost its power
        if self.is_cut(socket.machine, socket.peer.machine):
            self._retransmit_later(socket, min(2 * pause, RETRANSMIT_SECONDS_MAX))
        else:
            del self._holding[socket]
            held, socket.held = socket.held, []
            for segment in held:
                self._send(socket, segment)

    def _send_at(self, socket: SimSocket, segment: Segment, when: float) -> None:
        when = max(when, socket.arrival_last)
        socket.arrival_last = when
        self._loop.outside_at(when, self._arrive, socket, segment)

    def _arrive(self, socket: SimSocket, segment: Segment) -> None:
        if socket.vanished and segment is not Signal.RST:
            return
        peer = socket.peer
        if not isinstance(segment, bytes):
            source, target = socket.machine.name, peer.machine.name
            self._loop.trace.event(self._loop.now, f"{source}>{target}", segment.value)
        peer.arrive(segment)
        if self._watches:
            self._tick_watches(socket.machine.name, peer.machine.name)

    async def segments(self, machine: str, count: int) -> None:
        """Wait until so many more segments have arrived at a machine or come from it.

        Whoever waits is woken before the process that received the last one has read it.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._watches.append((machine, count, future))
        await future

    def _tick_watches(self, source: str, target: str) -> None:
        waiting = []
        for machine, count, future in self._watches:
            left = count - (machine in (source, target))
            if left > 0:
                waiting.append((machine, left, future))
            elif not future.done():
                future.set_result(None)
        self._watches = waiting

    def received(self, socket: SimSocket, data: bytes) -> None:
        """A process read bytes: into the trace."""
        source, target = socket.peer.machine.name, socket.machine.name
        self._loop.trace.bytes_moved(self._loop.now, source, target, data)

    def receive_bytes(self, bytes_max: int) -> int:
        """How much one read may return: now and then only a part."""
        if self._random.random() < self.settings.split_share:
            return self._random.randint(1, 64)
        return bytes_max

    def _latency(self, source: Machine, target: Machine, byte_count: int) -> float:
        settings = self.settings
        seconds = settings.latency_seconds + byte_count / settings.bytes_per_second
        seconds += self._random.expovariate(1.0) * settings.jitter_seconds
        way = (source.name, target.name)
        if self._bad and (bad := self._bad.get(way)) is not None:
            seconds += self._badness(bad)
        return seconds + self._delays.get(way, 0.0)

    def _badness(self, bad: BadLink) -> float:
        """What TCP makes of loss, and of packets that come very late: time."""
        pause, seconds = RETRANSMIT_SECONDS_MIN, 0.0
        while pause <= RETRANSMIT_SECONDS_STOP and self._random.random() < bad.loss:
            seconds += pause
            pause *= 2
        if self._random.random() < bad.late:
            seconds += self._random.uniform(*LATE_SECONDS)
        return seconds

    def give_up_later(self, socket: SimSocket, seconds: float) -> None:
        """The peer of `socket` is silent: fail it when TCP would."""
        self._loop.outside_at(self._loop.now + seconds, self._give_up, socket)

    def _give_up(self, socket: SimSocket) -> None:
        if not socket.gone and socket.unanswered:
            socket.fail(TimeoutError(110, "Connection timed out"))

    # -- keepalive -----------------------------------------------------------------------------
    def _ask_later(self, socket: SimSocket, seconds: float) -> None:
        self._loop.outside_at(self._loop.now + seconds, self._ask, socket)

    def _ask(self, socket: SimSocket) -> None:
        """The kernel of an accepted connection asks whether the other end is there: it learns of
        a reset that was lost on a dead line, and of a machine that is gone."""
        if socket.gone:
            return
        if not self._reaches(socket):
            patience = TCP_KEEPALIVE_TRIES * TCP_KEEPALIVE_PAUSE_SECONDS
            self._loop.outside_at(self._loop.now + patience, self._ask_last, socket)
        elif socket.peer.gone and not socket.fin_received and not socket.inbox:
            socket.fail(ConnectionResetError(104, "Connection reset by peer"))
        else:
            self._ask_later(socket, TCP_KEEPALIVE_IDLE_SECONDS)

    def _ask_last(self, socket: SimSocket) -> None:
        if not socket.gone and not self._reaches(socket):
            socket.fail(TimeoutError(110, "Connection timed out"))
        else:
            self._ask(socket)

    def _reaches(self, socket: SimSocket) -> bool:
        here, there = socket.machine, socket.peer.machine
        return there.powered and not self.is_cut(here, there) and not self.is_cut(there, here)

    # -- faults --------------------------------------------------------------------------------
    def is_cut(self, source: Machine, target: Machine) -> bool:
        """Whether segments from one to the other are lost now."""
        return (source.name, target.name) in self._cuts

    def cut(self, source: str, target: str) -> None:
        """One direction goes dead. Cuts count: each needs its own heal."""
        self._cuts[source, target] = self._cuts.get((source, target), 0) + 1
        self._fault(f"cut {source} > {target}")

    def heal(self, source: str, target: str) -> None:
        """Undo one cut; what was held arrives when TCP tries again: soon after a short cut."""
        left = self._cuts.pop((source, target), 0) - 1
        if left > 0:
            self._cuts[source, target] = left
            return
        self._fault(f"heal {source} > {target}")

    def delay(self, source: str, target: str, seconds: float) -> None:
        """Add to the latency of one direction; 0 ends it."""
        self._delays[source, target] = seconds
        self._fault(f"delay {source} > {target} by {seconds:.3f} s")

    def spoil(self, source: str, target: str, bad: BadLink | None) -> None:
        """One direction loses packets or delivers some very late; None ends it."""
        if bad is None:
            self._bad.pop((source, target), None)
        else:
            self._bad[source, target] = bad
        self._fault(f"spoil {source} > {target}: {bad}")

    def reset_connections(self, one: str, other: str) -> None:
        """A middle box resets every connection between two machines."""
        self._fault(f"reset {one} - {other}")
        for socket in list(self.machine(one).sockets):
            if socket.peer.machine.name == other:
                error = ConnectionResetError(104, "Connection reset by peer")
                socket.peer.fail(error)
                socket.fail(error)

    def kill(self, process: SimProcess) -> None:
        """kill -9: the kernel closes its sockets, nothing else of it runs again."""
        self._fault(f"kill {process!r}")
        group = [process, *process.threads]
        for one in group:
            self._stop(one)
        for socket in list(process.machine.sockets):
            if socket.process in group:
                socket.close()

    def pause(self, process: SimProcess) -> None:
        """SIGSTOP: the process with all its threads. Pauses count: each needs its own resume."""
        self._fault(f"pause {process!r}")
        for one in (process, *process.threads):
            self._hold(one)

    def resume(self, process: SimProcess) -> None:
        """SIGCONT: everything that came due meanwhile runs now, in its order."""
        self._fault(f"resume {process!r}")
        for one in (process, *process.threads):
            self._let_go(one)

    def stall(self, process: SimProcess) -> None:
        """One callback of the process does not come back; its threads go on."""
        self._fault(f"stall {process!r}")
        self._hold(process)

    def unstall(self, process: SimProcess) -> None:
        """It came back."""
        self._fault(f"unstall {process!r}")
        self._let_go(process)

    def _hold(self, process: SimProcess) -> None:
        if process.alive:
            process.holds += 1
            process.state, process.stopped = ProcessState.PAUSED, True

    def _let_go(self, process: SimProcess) -> None:
        if process.alive and process.holds:
            process.holds -= 1
            if not process.holds:
                process.state, process.stopped = ProcessState.RUNNING, False
                parked, process.parked = process.parked, []
                self._loop.requeue(parked)

    def power_off(self, name: str) -> None:
        """The machine goes dark: no FIN, no RST, nothing."""
        machine = self.machine(name)
        self._fault(f"power off {name}")
        machine.powered = False
        for process in list(machine.processes):
            self._stop(process)
        machine.vanished.extend(machine.sockets)
        for socket in list(machine.sockets):
            socket.vanish()
        for socket in [socket for socket in self._holding if socket.machine is machine]:
            del self._holding[socket]
            socket.held.clear()

    def power_on(self, name: str) -> None:
        """The machine is back: what its peers resend to lost connections is answered by RST."""
        machine = self.machine(name)
        self._fault(f"power on {name}")
        machine.powered = True
        for socket in machine.vanished:
            if socket.peer.unanswered and not socket.peer.gone:
                when = self._loop.now + self._random.uniform(0.2, 3.0)
                self._send_at(socket, Signal.RST, when)
        machine.vanished = []

    def _stop(self, process: SimProcess) -> None:
        process.state, process.stopped = ProcessState.DEAD, True
        process.parked = []
        machine = process.machine
        machine.processes.pop(process, None)
        for port, server in list(machine.listeners.items()):
            if server.process is process:
                del machine.listeners[port]
        self._loop.bury(process)

    def _fault(self, text: str) -> None:
        self._loop.trace.event(self._loop.now, "network", text)
