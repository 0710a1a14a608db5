"""Very many clients that log in to one server and come back as soon as they are dropped.

`python -m benchmarks.failover.crowd HOST:PORT COUNT`: raw sockets, no library, so that they cost
the machine little beside what they ask of the server. Every client is dropped by us, all together,
when `COUNT` were logged in or after `ROUND_SECONDS_MAX`; then all come again. One line on standard
output for each round: how many got in, in what time.
"""

import errno
import os
import resource
import select
import socket
import struct
import sys
import time

ROUND_SECONDS_MAX = 15.0
CONNECTS_AT_ONCE = 512
"""Clients that are on their way in together: more would only overflow the listen queue."""
REQUEST = struct.Struct(">2sH16si")
HELLO = (
    struct.pack(">5i", 0, 0, 0, 4, 2012)
    + REQUEST.pack(b"\0\1", 3006, struct.pack(">iBB", 0x511, 0, 0x03).ljust(16, b"\0"), 0)
    + REQUEST.pack(b"\0\2", 3007, struct.pack(">i8sBBB", os.getpid(), b"crowd", 0, 0, 5) + b"\0", 0)
)
"""Handshake, kXR_protocol and kXR_login in one write."""
ANSWER_BYTES_MIN = 40
"""Handshake, protocol and the head of the login's answer."""


def one_round(host: str, port: int, count: int) -> int:
    """Let `count` clients in; how many got an answer to their login."""
    poll = select.epoll()
    waiting: dict[int, tuple[socket.socket, bool]] = {}
    inside: list[socket.socket] = []
    begun, deadline = 0, time.monotonic() + ROUND_SECONDS_MAX
    while len(inside) < count and time.monotonic() < deadline:
        while begun < count and len(waiting) < CONNECTS_AT_ONCE:
            client = socket.socket()
            client.setblocking(False)
            if client.connect_ex((host, port)) not in (0, errno.EINPROGRESS):
                client.close()
                break
            poll.register(client, select.EPOLLOUT)
            waiting[client.fileno()] = (client, False)
            begun += 1
        for number, happened in poll.poll(0.1):
            client, has_greeted = waiting.pop(number)
            try:
                if happened & (select.EPOLLERR | select.EPOLLHUP):
                    raise OSError
                if not has_greeted:
                    client.send(HELLO)
                    poll.modify(client, select.EPOLLIN)
                    waiting[number] = (client, True)
                    continue
                if len(client.recv(4096)) < ANSWER_BYTES_MIN:
                    raise OSError
                poll.unregister(client)
                inside.append(client)
            except OSError:
                poll.unregister(client)
                client.close()
                begun -= 1
    for client in (*inside, *(client for client, _ in waiting.values())):
        client.close()
    poll.close()
    return len(inside)


def main(address: str, count: int) -> None:
    """Rounds without end."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    host, _, port = address.rpartition(":")
    while True:
        began = time.monotonic()
        got = one_round(host, int(port), count)
        print(f"{got} {time.monotonic() - began:.3f}", flush=True)
        if not got:
            time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
