"""What the kernel is asked to do for our connections."""

import socket

from thesan.core.model.tcp_limits import (
    TCP_KEEPALIVE_IDLE_SECONDS,
    TCP_KEEPALIVE_PAUSE_SECONDS,
    TCP_KEEPALIVE_TRIES,
    TCP_UNSENT_SECONDS_MAX,
)


def find_dead_peers(listener: socket.socket) -> None:
    """Let connections accepted by `listener` end when their peer's machine is gone.

    Linux hands these options of a listening socket down to those that it accepts.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, TCP_KEEPALIVE_IDLE_SECONDS),
        (socket.TCP_KEEPINTVL, TCP_KEEPALIVE_PAUSE_SECONDS),
        (socket.TCP_KEEPCNT, TCP_KEEPALIVE_TRIES),
        (socket.TCP_USER_TIMEOUT, TCP_UNSENT_SECONDS_MAX * 1000),
    ):
        listener.setsockopt(socket.IPPROTO_TCP, option, value)
