"""Options of a listening socket that its connections inherit."""

import socket

from thesan.core.model import tcp_limits
from thesan.worlds.real.tcp import find_dead_peers


def test_accepted_connections_find_dead_peers():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        find_dead_peers(listener)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = {
                socket.TCP_KEEPIDLE: tcp_limits.TCP_KEEPALIVE_IDLE_SECONDS,
                socket.TCP_KEEPINTVL: tcp_limits.TCP_KEEPALIVE_PAUSE_SECONDS,
                socket.TCP_KEEPCNT: tcp_limits.TCP_KEEPALIVE_TRIES,
                socket.TCP_USER_TIMEOUT: tcp_limits.TCP_UNSENT_SECONDS_MAX * 1000,
            }
            for option, value in options.items():
                assert accepted.getsockopt(socket.IPPROTO_TCP, option) == value
