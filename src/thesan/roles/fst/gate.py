"""Who may do what here: capabilities, the node's switch, the filesystem's state.

Clients at an FST are whoever they say; only what an MGM signed counts. Where a fresh ticket or
another replica would help, the refusal sends the client back to the master instead of failing it.
"""

import errno
from collections.abc import Collection, Mapping
from typing import Final

from thesan.core.authority.capability import CGI_KEY, Capability, Verifier
from thesan.core.authority.keytab import Keytab
from thesan.core.authority.nonces import NonceWindow
from thesan.core.model.addresses import is_address, split_address
from thesan.core.model.errors import CapabilityError, OperationError
from thesan.core.model.paths import parse_cgi
from thesan.core.model.units import NS_PER_S
from thesan.core.wire import responses
from thesan.io.transport.server import ServerConnection
from thesan.ports.clock import Clock
from thesan.roles.fst.beats import Heart
from thesan.roles.fst.fleet import Fleet
from thesan.roles.fst.mgms import Mgms
from thesan.roles.fst.store import FsStore

_WAIT_SECONDS: Final = 1


class Gate:
    """One for the FST."""

    def __init__(
        self, keys: Keytab, node: str, heart: Heart, fleet: Fleet, mgms: Mgms, clock: Clock
    ) -> None:
        self._keys = keys
        self._node = node
        self._nonces = NonceWindow()
        self._secrets: list[bytes] = []
        self._verifier: Verifier | None = None
        self._heart = heart
        self._fleet = fleet
        self._mgms = mgms
        self._clock = clock

    def check(
        self,
        connection: ServerConnection,
        ops: Collection[int],
        path: str,
        cgi: Mapping[str, str],
    ) -> tuple[Capability, FsStore]:
        """The capability in `cgi` and the filesystem it is for.

        Raises CapabilityError; OperationError EACCES without any, ENODEV when the node is switched
        off or does not have the filesystem.
        """
        text = cgi.get(CGI_KEY)
        if not text:
            raise OperationError(errno.EACCES, "no capability: ask the MGM, not this server")
        now_s = self._clock.now_ns() // NS_PER_S
        capability = self._verifier_at(now_s).verify(
            text,
            ops=ops,
            path=path,
            client=client_of(connection),
            now_s=now_s,
            epoch_seen=self._heart.epoch,
        )
        # Whoever signed it is, or was, master of that epoch.
        self._mgms.heard(capability.epoch, "")
        if not self._heart.is_active:
            raise OperationError(errno.ENODEV, "this node is switched off")
        store = self._fleet.find(capability.fsid)
        if store is None:
            raise OperationError(errno.ENODEV, f"fs {capability.fsid} is not here")
        return capability, store

    def has_ticket(self, cgi: str) -> bool:
        """Whether the client was sent here by an MGM, or comes for a third-party copy."""
        values = parse_cgi(cgi)
        return CGI_KEY in values or "tpc.key" in values

    def _verifier_at(self, now_s: int) -> Verifier:
        """One for the keys that have not expired; the nonces outlive it."""
        secrets = self._keys.secrets(now_s)
        if self._verifier is None or secrets != self._secrets:
            self._secrets = secrets
            self._verifier = Verifier(secrets, self._node, self._nonces)
        return self._verifier

    def to_master(self, sid: bytes, tried: str = "", reason: str = "") -> bytes | None:
        """A redirect to the master, None when none is known.

        `tried` (this host) excludes this server from the next choice.
        """
        master = self._mgms.master
        if not is_address(master):
            return None
        host, port = split_address(master)
        cgi = f"tried={tried}" if tried else ""
        if tried and reason:
            cgi += f"&triedrc={reason}"
        return responses.redirect(sid, host, port, cgi)

    def refused(self, sid: bytes, error: CapabilityError) -> bytes | None:
        """An answer for a ticket that is merely old; None when it is worse."""
        return self.send_back(sid) if error.errno == errno.ESTALE else None

    def send_back(self, sid: bytes) -> bytes:
        """A redirect to the master, who gives a fresh ticket; while there is none, a wait."""
        return self.to_master(sid) or responses.wait(sid, _WAIT_SECONDS, "no master is known")


def client_of(connection: ServerConnection) -> tuple[str, int, str]:
    """What a client keeps over a reconnect: (login user, pid, host)."""
    return connection.user, connection.pid, connection.peer_host
