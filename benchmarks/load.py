"""A closed-loop load generator for XRootD servers: raw sockets, C connections x D in flight.

It runs in a process of its own, pinned to the last core, so that its cost stays out of the server's
figures. It knows the framing and nothing else, and it checks that no answer is an error.
"""

import collections
import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

HEAD = struct.Struct(">2sHi")
REQUEST = struct.Struct(">2sH16si")
HANDSHAKE = struct.pack(">5i", 0, 0, 0, 4, 2012)
OK, OKSOFAR, ERROR, REDIRECT, WAIT = 0, 4000, 4003, 4004, 4005

Lane = Generator[tuple[socket.socket, bytes], tuple[int, bytes], None]
"""Yields (connection, frame), is sent (status, body)."""


@dataclass
class Figures:
    """What one point gave, as seen by the clients."""

    count: int = 0
    seconds: float = 0.0
    latencies_us: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.count / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Latency in microseconds."""
        ordered = sorted(self.latencies_us)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def frame(request: int, params: bytes = b"", body: bytes = b"", sid: bytes = b"\1\0") -> bytes:
    """One request: 24 bytes of header and the body."""
    return REQUEST.pack(sid, request, params.ljust(16, b"\0"), len(body)) + body


def ping() -> bytes:
    """kXR_ping"""
    return frame(3011)


def stat(path: str) -> bytes:
    """kXR_stat by path"""
    return frame(3017, body=path.encode())


def open_read(path: str) -> bytes:
    """kXR_open, kXR_open_read | kXR_retstat"""
    return frame(3010, struct.pack(">HH", 0, 0x0410), path.encode())


def open_new(path: str, cgi: str = "") -> bytes:
    """kXR_open, kXR_new | kXR_open_updt | kXR_retstat"""
    return frame(3010, struct.pack(">HH", 0o644, 0x0428), (path + cgi).encode())


def close(handle: bytes) -> bytes:
    """kXR_close"""
    return frame(3003, handle)


def mkdir(path: str) -> bytes:
    """kXR_mkdir"""
    return frame(3008, b"\0" * 14 + struct.pack(">H", 0o755), path.encode())


def dirlist(path: str, options: int = 0) -> bytes:
    """kXR_dirlist; options 2 = kXR_dstat"""
    return frame(3004, b"\0" * 15 + bytes([options]), path.encode())


def receive(connection: socket.socket) -> tuple[int, bytes]:
    """One whole answer (blocking), parts joined."""
    parts = []
    while True:
        _, status, size = HEAD.unpack(_exactly(connection, 8))
        parts.append(_exactly(connection, size))
        if status != OKSOFAR:
            return status, b"".join(parts)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the server closed the connection")
        data += piece
    return data


def connect(host: str, port: int, user: str = "bench") -> socket.socket:
    """Handshake, protocol, login, and unix authentication where the server asks for it."""
    connection = socket.create_connection((host, port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(HANDSHAKE + frame(3006, struct.pack(">iBB", 0x511, 0, 0x03)))
    receive(connection)
    receive(connection)
    login = struct.pack(">i8sBBB", os.getpid(), user.encode()[:8], 0, 0, 0x05)
    connection.sendall(frame(3007, login))
    status, body = receive(connection)
    if status == OK and b"&P=" in body[16:]:
        name = (os.environ.get("USER") or "root").encode()
        credentials = b"unix\0" + name + b" " + name + b"\0"
        connection.sendall(frame(3000, b"\0" * 12 + b"unix", credentials))
        status, body = receive(connection)
    if status != OK:
        raise ConnectionError(f"login refused: {status} {body!r}")
    return connection


def run_frames(
    connections: list[socket.socket], frames: Iterator[bytes], depth: int, seconds: float
) -> Figures:
    """Closed loop: `depth` requests in flight on each connection; any error answer raises."""
    poll = select.epoll()
    by_number = {}
    for connection in connections:
        connection.setblocking(False)
        poll.register(connection, select.EPOLLIN)
        by_number[connection.fileno()] = (connection, bytearray(), collections.deque())
    figures = Figures()
    began = time.perf_counter()
    end = began + seconds
    numbers = itertools.count(1)

    def several(count: int) -> bytes:
        """Frames with stream ids of their own: two open requests may not share one."""
        return b"".join(
            (next(numbers) & 0xFFFF).to_bytes(2, "big") + next(frames)[2:] for _ in range(count)
        )

    for connection, _, sent in by_number.values():
        sent.extend([time.perf_counter()] * depth)
        connection.send(several(depth))
    waiting = depth * len(connections)
    while waiting:
        for number, _ in poll.poll(10):
            connection, buffer, sent = by_number[number]
            buffer += connection.recv(1 << 20)
            done = _take_answers(buffer)
            now = time.perf_counter()
            for _ in range(done):
                figures.latencies_us.append((now - sent.popleft()) * 1e6)
            figures.count += done
            waiting -= done
            if now < end and done:
                sent.extend([now] * done)
                waiting += done
                connection.sendall(several(done))
    figures.seconds = time.perf_counter() - began
    poll.close()
    return figures


def _take_answers(buffer: bytearray) -> int:
    done, position = 0, 0
    size = len(buffer)
    while size - position >= 8:
        _, status, length = HEAD.unpack_from(buffer, position)
        if size - position - 8 < length:
            break
        if status in (ERROR, WAIT):
            raise ConnectionError(
                f"answer {status}: {bytes(buffer[position + 8 : position + 200])!r}"
            )
        position += 8 + length
        done += status != OKSOFAR
    del buffer[:position]
    return done


def run_lanes(lanes: list[Lane], seconds: float) -> Figures:
    """Closed loop over conversations: each lane has one request in flight at a time."""
    poll = select.epoll()
    active: dict[int, tuple[Lane, socket.socket, bytearray]] = {}
    figures = Figures()
    began = time.perf_counter()
    end = began + seconds

    def send(lane: Lane, step: tuple[socket.socket, bytes]) -> None:
        connection, data = step
        connection.setblocking(True)
        connection.sendall(data)
        active[connection.fileno()] = (lane, connection, bytearray())
        poll.register(connection, select.EPOLLIN)

    for lane in lanes:
        send(lane, next(lane))
    while active:
        for number, _ in poll.poll(10):
            lane, connection, buffer = active[number]
            buffer += connection.recv(1 << 20)
            if len(buffer) < 8 or len(buffer) < 8 + HEAD.unpack_from(buffer)[2]:
                continue
            _, status, length = HEAD.unpack_from(buffer)
            poll.unregister(connection)
            del active[number]
            figures.count += 1
            if time.perf_counter() < end or status == WAIT:
                send(lane, lane.send((status, bytes(buffer[8 : 8 + length]))))
    figures.seconds = time.perf_counter() - began
    poll.close()
    return figures
