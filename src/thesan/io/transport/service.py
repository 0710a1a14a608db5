"""What a connection leans on: the role's Service above it, the listener's Registry beside it."""

from typing import TYPE_CHECKING, Protocol

from thesan.core.wire.requests import Auth, Login, Request
from thesan.core.wire.server import ServerSettings
from thesan.ports.bulk import Bulk

if TYPE_CHECKING:
    from thesan.io.transport.connection import ServerConnection


class Service(Protocol):
    """One daemon's answers. All methods are synchronous and short: they run in the loop.

    Ping, endsess, bind, the handshake and kXR_protocol are answered by the driver.
    A ThesanError raised by `handle`, `login` or `auth` is answered with kXR_error.
    """

    @property
    def settings(self) -> ServerSettings:
        """Version, flags and limits of the wire session."""
        ...

    def login(self, connection: "ServerConnection", request: Login) -> bytes:
        """Answer a login: a whole frame, its body beginning with `connection.session_id`.

        Set `connection.identity` to let the caller in at once; leave it None to ask for kXR_auth.
        """
        ...

    def auth(self, connection: "ServerConnection", request: Auth) -> bytes | None:
        """Answer one round of authentication; set `connection.identity` when it is complete.

        None: `connection.reply` follows (set the identity before it).
        """
        ...

    def handle(self, connection: "ServerConnection", request: Request) -> bytes | bytearray | None:
        """Answer a request of an authenticated connection with whole frames.

        None: the answer follows through `connection.reply`, `send_file` or `send_pages`.
        """
        ...

    def closed(self, connection: "ServerConnection") -> None:
        """A connection for which `login` was called is gone; later replies to it do nothing."""
        ...


class Registry(Protocol):
    """What a connection asks of its listener."""

    bulk: Bulk
    scratch: memoryview
    """Receive buffer shared by all connections: in use only within one callback."""

    @property
    def is_full(self) -> bool:
        """Too many connections for another login."""
        ...

    def new_session_id(self) -> bytes:
        """16 unpredictable bytes."""
        ...

    def find(self, session_id: bytes) -> "ServerConnection | None":
        """The logged-in connection of that session."""
        ...

    def opened(self, connection: "ServerConnection") -> bool:
        """Count a new connection; False when it must be dropped at once."""
        ...

    def entered(self, connection: "ServerConnection") -> None:
        """The connection logged in."""
        ...

    def closed(self, connection: "ServerConnection") -> None:
        """The connection is gone."""
        ...
