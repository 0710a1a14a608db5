"""`thk`: how two of our own processes prove to each other that they hold the same keytab key.

    server -> client   login answer     &P=thk,<server nonce, hex>
    client -> server   kXR_auth         "thk\\0" msgpack[role, name, key number, client nonce, mac]
    server -> client   ok               mac of the server

Both macs are HMAC-SHA256 under the key, over both nonces, role and name, with a label that says
which side speaks, so that no message can be sent back to its author. The server's nonce is fresh
for each connection and good for one attempt: a recorded exchange proves nothing later. Without TLS
the exchange does not bind the bytes that follow it; networks between daemons are trusted for that.
"""

import errno
import hmac
import re
from typing import Final

import msgspec

from thesan.core.authority.keytab import Keytab
from thesan.core.model.errors import OperationError

CREDENTIAL_TYPE: Final = b"thk\0"
"""credtype of kXR_auth, and the start of the credentials."""
NONCE_BYTES: Final = 32
ROLES: Final = frozenset({"mgm", "fst", "front", "mount", "admin"})
"""What a holder of the keytab may say it is."""
_CREDENTIALS_BYTES_MAX: Final = 1024
_NAME_BYTES_MAX: Final = 255
_CHALLENGE: Final = re.compile(r"&P=thk,([0-9a-f]{64})(?=&|\0|$)")


class _Credentials(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    role: str
    name: str
    number: int
    nonce: bytes
    mac: bytes


class Peer(msgspec.Struct, frozen=True):
    """Who proved the keytab."""

    role: str
    """One of ROLES."""
    name: str
    """Node name of a daemon, user name of a person."""
    key_number: int


_decoder: Final = msgspec.msgpack.Decoder(_Credentials)
_encoder: Final = msgspec.msgpack.Encoder()


def challenge_of(security_text: str) -> bytes | None:
    """The server nonce in the security text of a login answer; None when thk is not offered."""
    found = _CHALLENGE.search(security_text)
    return bytes.fromhex(found.group(1)) if found else None


class ThkServer:
    """One connection's challenge. `nonce`: NONCE_BYTES unpredictable bytes."""

    def __init__(self, nonce: bytes) -> None:
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"the nonce has {len(nonce)} bytes, not {NONCE_BYTES}")
        self._nonce: bytes | None = nonce
        self.offer = f"&P=thk,{nonce.hex()}"
        """To put in the security text of the login answer."""

    def accept(self, credentials: bytes, keytab: Keytab, now_s: int) -> tuple[Peer, bytes]:
        """Check the client's credentials; answer with the peer and the server's proof.

        Raises OperationError EBADE (kXR_AuthFailed). One attempt only: the next needs a new login.
        """
        server_nonce, self._nonce = self._nonce, None
        if server_nonce is None:
            raise _failed("the challenge was used: log in again")
        if not credentials.startswith(CREDENTIAL_TYPE):
            raise _failed("credentials are not of type thk")
        if len(credentials) > _CREDENTIALS_BYTES_MAX:
            raise _failed("credentials are too long")
        try:
            given = _decoder.decode(credentials[len(CREDENTIAL_TYPE) :])
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise _failed("credentials are unreadable") from error
        if given.role not in ROLES or len(given.name) > _NAME_BYTES_MAX:
            raise _failed("role or name is not acceptable")
        if len(given.nonce) != NONCE_BYTES or given.nonce == server_nonce:
            raise _failed("the client nonce is not acceptable")
        key = keytab.find(given.number, now_s)
        if key is None:
            raise _failed(f"key {given.number} is not in the keytab, or has expired")
        bound = _bind(server_nonce, given.nonce, given.role, given.name, given.number)
        if not hmac.compare_digest(_mac(key.secret, b"client", bound), given.mac):
            raise _failed("wrong key")
        peer = Peer(given.role, given.name, given.number)
        return peer, _mac(key.secret, b"server", bound)


class ThkClient:
    """One connection's answer to a challenge."""

    def __init__(self, keytab: Keytab, role: str, name: str, nonce: bytes, now_s: int) -> None:
        """`nonce`: NONCE_BYTES unpredictable bytes. ConfigError when every key has expired."""
        if role not in ROLES or len(nonce) != NONCE_BYTES:
            raise ValueError("unknown role, or nonce of a wrong length")
        self._key = keytab.newest(now_s)
        self._role = role
        self._name = name
        self._nonce = nonce
        self._proof: bytes | None = None

    def answer(self, server_nonce: bytes) -> bytes:
        """Credentials for kXR_auth."""
        number = self._key.number
        bound = _bind(server_nonce, self._nonce, self._role, self._name, number)
        mac = _mac(self._key.secret, b"client", bound)
        self._proof = _mac(self._key.secret, b"server", bound)
        return CREDENTIAL_TYPE + _encoder.encode(
            _Credentials(self._role, self._name, number, self._nonce, mac)
        )

    def check(self, proof: bytes) -> None:
        """Check the server's proof, the body of its ok. Raises OperationError EBADE."""
        expected, self._proof = self._proof, None
        if expected is None or not hmac.compare_digest(expected, bytes(proof)):
            raise _failed("the server did not prove that it holds the key")


def _bind(server_nonce: bytes, client_nonce: bytes, role: str, name: str, number: int) -> bytes:
    # msgpack gives every part its length: no two different tuples have the same bytes.
    return _encoder.encode((server_nonce, client_nonce, role, name, number))


def _mac(secret: bytes, label: bytes, bound: bytes) -> bytes:
    return hmac.digest(secret, b"thk1|" + label + b"|" + bound, "sha256")


def _failed(text: str) -> OperationError:
    return OperationError(errno.EBADE, f"authentication failed: {text}")
