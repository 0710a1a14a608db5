"""The nonce window: a capability belongs to the client that shows it first.

The same client may show it again until it expires (XrdCl reopens the same URL after a broken
stream); anybody else is refused. Bounded: a full window refuses new tickets rather than forget
old ones, since what is forgotten can be replayed.

A clock that is set back makes forgotten tickets valid again. Those of the time before are refused,
with an errno that sends the client for a fresh one. After a set-back by hours they can't be told
from new ones by their times; then the window is what it is after a restart.
"""

import errno
from typing import Final

from thesan.core.model.errors import CapabilityError
from thesan.core.model.limits import (
    CAPABILITY_CLOCK_SKEW_SECONDS,
    CAPABILITY_SECONDS_MAX,
    NONCE_COUNT_MAX,
)

_FRESH_SECONDS: Final = CAPABILITY_SECONDS_MAX - CAPABILITY_CLOCK_SKEW_SECONDS
"""A ticket that an MGM signs now is good for at least so long by the clock here."""

ClientKey = tuple[str, int, str]
"""(login user, pid, host) of a session: what an XRootD client keeps over a reconnect."""


class NonceWindow:
    """Nonces in use, each with the client that it is bound to."""

    def __init__(self, count_max: int = NONCE_COUNT_MAX) -> None:
        self._count_max = count_max
        self._owners: dict[bytes, ClientKey] = {}
        self._by_expiry: dict[int, list[bytes]] = {}
        self._expired_to = 0
        """What expires before this time may be forgotten already."""
        self._newest_s = 0
        """The clock, when it was last looked at."""

    def __len__(self) -> int:
        return len(self._owners)

    def admit(self, nonce: bytes, client: ClientKey, expires_s: int, now_s: int) -> None:
        """Bind `nonce` to `client`, or accept that it is. Raises CapabilityError.

        The caller has checked that the ticket is authentic and not expired. errno is ESTALE where
        a fresh ticket would be good.
        """
        if now_s < self._newest_s - CAPABILITY_CLOCK_SKEW_SECONDS:
            self._expired_to = min(self._expired_to, now_s + _FRESH_SECONDS)
        self._newest_s = now_s
        owner = self._owners.get(nonce)
        if owner is not None:
            if owner != client:
                raise CapabilityError("capability was used by another client")
            return
        if now_s > self._expired_to:
            self._expire(now_s)
        elif expires_s < self._expired_to:
            # The clock was set back: this nonce may be one that was already forgotten.
            text = "capability expired before the clock was set back"
            raise CapabilityError(text, errno.ESTALE)
        if len(self._owners) >= self._count_max:
            raise CapabilityError("too many capabilities in use, try again later")
        self._owners[nonce] = client
        self._by_expiry.setdefault(expires_s, []).append(nonce)

    def _expire(self, now_s: int) -> None:
        """Forget what expired before `now_s`; at most one bucket per second of a ticket's life."""
        self._expired_to = now_s
        for second in [second for second in self._by_expiry if second < now_s]:
            for nonce in self._by_expiry.pop(second):
                self._owners.pop(nonce, None)
