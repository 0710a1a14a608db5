"""How a client proves who it is: the methods it has, in the order in which it wants to use them."""

import errno
from collections.abc import Callable
from typing import Protocol

import msgspec

from thesan.core.authority import thk
from thesan.core.authority.keytab import Keytab
from thesan.core.model.errors import ConfigError, OperationError
from thesan.core.model.units import NS_PER_S
from thesan.ports.clock import Clock
from thesan.ports.entropy import Entropy


class Exchange(Protocol):
    """One authentication on one connection. Raises OperationError EBADE when it fails."""

    def answer(self, parameters: str) -> bytes:
        """First credentials; `parameters` is what the server offered after the method's name."""
        ...

    def more(self, challenge: bytes) -> bytes:
        """Credentials of a further round (kXR_authmore)."""
        ...

    def check(self, body: bytes) -> None:
        """Look at the body of the server's ok: its own proof, where the method has one."""
        ...


class Method(msgspec.Struct, frozen=True):
    """A way to authenticate."""

    name: str
    """As in the server's `&P=name,parameters`."""
    begin: Callable[[], Exchange]
    """For one connection. Raises OperationError EBADE when there is nothing to prove it with."""


class _Plain:
    """Credentials that are said once and believed or not."""

    def __init__(self, credentials: bytes) -> None:
        self._credentials = credentials

    def answer(self, parameters: str) -> bytes:
        return self._credentials

    def more(self, challenge: bytes) -> bytes:
        raise OperationError(errno.EBADE, "the server wants another round of authentication")

    def check(self, body: bytes) -> None:
        pass


class _Thk(_Plain):
    """Proof of the shared keytab, both ways."""

    def __init__(self, client: thk.ThkClient) -> None:
        super().__init__(b"")
        self._client = client

    def answer(self, parameters: str) -> bytes:
        nonce = thk.challenge_of(f"&P=thk,{parameters}")
        if nonce is None:
            raise OperationError(errno.EBADE, "the server's thk challenge is unreadable")
        return self._client.answer(nonce)

    def check(self, body: bytes) -> None:
        self._client.check(body)


def unix(user: str, group: str) -> Method:
    """`unix`: the local account's names, unproved (xrootd.md 1.11)."""
    credentials = f"unix\0{user} {group}\0".encode()
    return Method("unix", lambda: _Plain(credentials))


def host() -> Method:
    """`host`: the server judges the peer's address."""
    return Method("host", lambda: _Plain(b"host\0"))


def keytab(keys: Keytab, role: str, name: str, *, entropy: Entropy, clock: Clock) -> Method:
    """`thk`: both sides prove that they hold the instance's keytab (core.authority.thk)."""

    def begin() -> Exchange:
        nonce = entropy.token(thk.NONCE_BYTES)
        try:
            client = thk.ThkClient(keys, role, name, nonce, clock.now_ns() // NS_PER_S)
        except ConfigError as error:
            # Who dials again and again bears a refused login, and not the end of its task.
            raise OperationError(errno.EBADE, f"authentication failed: {error}") from error
        return _Thk(client)

    return Method("thk", begin)
