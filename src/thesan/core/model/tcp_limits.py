"""When a kernel gives up a peer that fell silent. Beside the pings of roles: for idle sessions."""

from typing import Final

TCP_KEEPALIVE_IDLE_SECONDS: Final = 20
"""Silence of a connection after which the kernel asks whether the peer is there (TCP_KEEPIDLE):
what a client that vanished held (handles, a broken upload's turn) is free within half a minute."""
TCP_KEEPALIVE_PAUSE_SECONDS: Final = 3
"""Pause between two such questions (TCP_KEEPINTVL)."""
TCP_KEEPALIVE_TRIES: Final = 4
"""Questions without answer after which the connection is lost (TCP_KEEPCNT)."""
TCP_UNSENT_SECONDS_MAX: Final = 30
"""Sent data that no kernel confirmed for so long loses the connection (TCP_USER_TIMEOUT); by
default that takes a quarter of an hour."""
