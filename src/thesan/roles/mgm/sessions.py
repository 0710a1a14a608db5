"""Who is connected, what each has proved, and whom the vid rules make of it.

What a client proves at login (protocol, name, role) is kept as it is; the identity that follows
from it is made anew when the rules change, and when this MGM becomes master: before that it may
not know the rules.
"""

import errno
from typing import Final

import msgspec

from thesan.core.authority.keytab import Keytab
from thesan.core.authority.rules import NO_RULES, VidRules
from thesan.core.authority.thk import NONCE_BYTES, ThkServer
from thesan.core.authority.vid import ADMIN_ROLE, evaluate, geotag_of, unix_user
from thesan.core.model.errors import OperationError
from thesan.core.model.paths import parse_cgi
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_login
from thesan.core.wire.requests import Auth, Login
from thesan.io.transport.server import ServerConnection
from thesan.ports.world import World
from thesan.roles.mgm.names import Names

_APP_LENGTH_MAX: Final = 64
_CAN_BE_OPEN: Final = "none"
"""`prot` of whoever was not asked for a proof."""


class Session(msgspec.Struct):
    """What the MGM keeps of one connection, in `ServerConnection.state`."""

    number: int = 0
    """Grows with each login."""
    prot: str = ""
    """Protocol of the proof, empty until there is one."""
    name: str = ""
    role: str = ""
    """thk role."""
    app: str = ""
    geotag: str = ""
    thk: ThkServer | None = None
    """The challenge that waits for its answer."""
    empty_files: dict[int, int] = msgspec.field(default_factory=dict)
    """Handles of open files without content: fid by handle, see roles.mgm.empty."""
    handle_next: int = 0


class Sessions:
    """All sessions of this MGM."""

    def __init__(
        self, world: World, keytab: Keytab, security: tuple[str, ...], names: Names
    ) -> None:
        self._world = world
        self._keytab = keytab
        self._security = security
        self._names = names
        self._rules: VidRules = NO_RULES
        self._known: dict[ServerConnection, Session] = {}
        self._logins = 0

    def __len__(self) -> int:
        return len(self._known)

    def all(self) -> list[tuple[ServerConnection, Session]]:
        """Connections that have proved somebody, in the order of login."""
        return [item for item in self._known.items() if item[1].prot]

    def remap(self, rules: VidRules, now_s: float) -> None:
        """The rules changed: every session gets the identity that they give it now."""
        self._rules = rules
        for connection, session in self._known.items():
            if session.prot:
                self._identify(connection, session, now_s)

    # -- the transport's calls -----------------------------------------------------------------
    def login(self, connection: ServerConnection, request: Login, now_s: float) -> bytes:
        """Answer a login: let in, or ask for one of the security protocols."""
        app = parse_cgi(request.token.decode(errors="replace")).get("xrd.appname", "")
        app = "".join(filter(str.isprintable, app))[:_APP_LENGTH_MAX]
        self._logins += 1
        session = Session(number=self._logins, app=app)
        connection.state = session
        self._known[connection] = session
        offers = []
        for protocol in self._security:
            if protocol == "thk":
                session.thk = ThkServer(self._world.entropy.token(NONCE_BYTES))
                offers.append(session.thk.offer)
            else:
                offers.append(f"&P={protocol}")
        if not offers:
            session.prot = _CAN_BE_OPEN
            self._identify(connection, session, now_s)
        return responses.ok(request.sid, build_login(connection.session_id, "".join(offers)))

    def auth(self, connection: ServerConnection, request: Auth, now_s: float) -> bytes:
        """Check a proof. Raises OperationError EBADE (kXR_AuthFailed); another try is allowed."""
        session = self._known[connection]
        protocol = request.credtype.decode("ascii", errors="replace")
        if protocol not in self._security:
            raise OperationError(errno.EBADE, f"authentication failed: {protocol!r} is not offered")
        proof = b""
        role = ""
        if protocol == "thk":
            if session.thk is None:
                raise OperationError(errno.EBADE, "authentication failed: there is no challenge")
            now = self._world.clock.now_ns() // 1_000_000_000
            peer, proof = session.thk.accept(request.credentials, self._keytab, now)
            name, role = peer.name, peer.role
        elif protocol == "unix":
            name = unix_user(request.credentials)
        else:
            name = connection.peer_host
        session.prot, session.name, session.role, session.thk = protocol, name, role, None
        self._identify(connection, session, now_s)
        return responses.ok(request.sid, proof)

    def closed(self, connection: ServerConnection) -> None:
        """The connection is gone."""
        self._known.pop(connection, None)

    def _identify(self, connection: ServerConnection, session: Session, now_s: float) -> None:
        host = connection.peer_host
        is_person = session.prot == "unix" or session.role == ADMIN_ROLE
        account = self._names.account(session.name, now_s) if is_person else None
        identity = evaluate(self._rules, session.prot, session.name, host, account, session.role)
        connection.identity = msgspec.structs.replace(identity, app=session.app)
        session.geotag = geotag_of(self._rules, host)
