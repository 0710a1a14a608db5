"""Capabilities and grants: what the MGM signs so that an FST may act without asking it.

A capability lets one client do one thing to one file at one FST, for a few minutes. Its text form
travels in the CGI of a redirect: base64url(msgpack) "." base64url(HMAC-SHA256 over the first part).
A grant is the MGM's note to itself (or to the master after it): everything that the commit of an
upload needs. The FST keeps it sealed in its commit queue and gives it back at close.

Nothing is decoded before its MAC was compared. The MAC covers the text, not the decoded bytes:
base64 has spare bits, and a ticket must have one spelling only.
"""

import errno
import hashlib
import hmac
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from binascii import b2a_base64
from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import Final

import msgspec

from thesan.core.authority.mac import MAC_BYTES, Mac
from thesan.core.authority.nonces import NonceWindow
from thesan.core.model.errors import CapabilityError
from thesan.core.model.limits import (
    CAPABILITY_BYTES_MAX,
    CAPABILITY_CLOCK_SKEW_SECONDS,
    CAPABILITY_KEY_SECONDS,
    CAPABILITY_SECONDS_MAX,
    GRANT_BYTES_MAX,
)

CGI_KEY: Final = "cap"
"""The capability's key in the CGI of a redirect."""
CAPABILITY_VERSION: Final = 1
GRANT_VERSION: Final = 1
NONCE_BYTES: Final = 12
_KEYS_CACHED_MAX: Final = 65536
_MAC_CHARS: Final = 43
"""Of 32 bytes in base64 without padding."""
_PATH_STATE: Final = hashlib.blake2b(digest_size=16)
"""Copied for each path: cheaper than reading the arguments of a new one."""
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class Op(IntEnum):
    """The one thing that a capability allows."""

    READ = 1
    CREATE = 2
    """Write a new file, also again after a reconnect."""
    UPDATE = 3
    """Write into an existing file."""
    TRUNCATE = 4
    CHECKSUM = 5
    STAT = 6
    DELETE = 7


class Replica(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """One more replica that the head FST writes to."""

    fsid: int
    node: str
    """`host:port` of its FST."""
    token: str
    """Capability text for that FST: same op and file, no replicas, no grant."""


class Capability(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True
):
    """What an FST may do for whoever shows this."""

    op: int
    fid: int
    node: str
    """`host:port` of the only FST that may honour it."""
    fsid: int
    path_hash: bytes
    """`hash_path` of the path that the client has to ask for."""
    layout: int
    """Layout id, see core.model.layouts."""
    uid: int
    gid: int
    epoch: int
    """Mastership under which it was signed."""
    issued_s: int
    """Seconds since 1970."""
    expires_s: int
    """It may be used to open until then; what is open stays open."""
    nonce: bytes
    """12 unpredictable bytes: makes the ticket single-client, see NonceWindow."""
    replicas: tuple[Replica, ...] = ()
    """The other replicas, for the head FST's fan-out."""
    booking_size: int = 0
    """Bytes that the client said it will write, 0 when unknown."""
    grant: bytes = b""
    """Sealed Grant: whoever holds it commits at close. Empty in fan-out tokens and for reads."""
    version: int = CAPABILITY_VERSION


class GrantKind(IntEnum):
    """What the commit will do."""

    CREATE = 1
    """Bring a new file into the namespace (perhaps in the place of `replaced`)."""
    UPDATE = 2
    """Record new size, checksums and time of an existing file."""


class Grant(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """All that a commit needs, decided at open."""

    kind: int
    fid: int
    parent: int
    """fid of the directory."""
    name: str
    path: str
    """For messages and the table of open uploads; `parent` and `name` decide."""
    mode: int
    uid: int
    gid: int
    layout: int
    fsids: tuple[int, ...]
    """Filesystems chosen, the head's first."""
    space: str
    exclusive: bool
    """kXR_new: somebody else's file of that name is EEXIST at commit."""
    replaced: int
    """fid of the file that had the name at open, 0 for none."""
    epoch: int
    issued_s: int
    booking_size: int = 0
    """Bytes counted against the quota while the upload is open."""
    generation: int = 0
    """Which writing of this fid: with `fid` it makes the commit idempotent."""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    """Attributes that the file gets at commit."""
    version: int = GRANT_VERSION
    op_id: bytes = b""
    """The client's id of what it does, the same for all tries of one upload; empty: it has none."""
    is_again: bool = False
    """The client, which names its uploads, tried before and does not know what came of that."""


_encoder: Final = msgspec.msgpack.Encoder()
_capability_decoder: Final = msgspec.msgpack.Decoder(Capability)
_grant_decoder: Final = msgspec.msgpack.Decoder(Grant)


def hash_path(path: str) -> bytes:
    """blake2b-16 of a normalised path."""
    state = _PATH_STATE.copy()
    state.update(path.encode())
    return state.digest()


def key_generation(now_s: int) -> int:
    """Number of the signing-key generation at a time."""
    return now_s // CAPABILITY_KEY_SECONDS


def node_key(secret: bytes, node: str) -> bytes:
    """An FST's root key. Whoever has only this can check tickets for that FST and no other."""
    return hmac.digest(secret, b"fst|" + node.encode(), "sha256")


def _generation_key(root: bytes, generation: int) -> Mac:
    return Mac(hmac.digest(root, b"generation|%d" % generation, "sha256"))


def _text_mac(key: Mac, body: bytes) -> bytes:
    return b2a_base64(key.digest(body), newline=False).translate(_URL_SAFE)[:_MAC_CHARS]


class Signer:
    """The MGM's side. `secret` is that of the key that signs now: Keytab.newest."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._keys: dict[tuple[str, int], Mac] = {}

    def sign(self, capability: Capability) -> str:
        """Text form, signed for `capability.node` with the key generation of its issue time.

        Raises CapabilityError (E2BIG) when the text would be longer than CAPABILITY_BYTES_MAX.
        """
        generation = capability.issued_s // CAPABILITY_KEY_SECONDS
        key = self._keys.get((capability.node, generation))
        if key is None:
            key = self._add_key(capability.node, generation)
        payload = _encoder.encode(capability)
        body = b2a_base64(payload, newline=False).translate(_URL_SAFE).rstrip(b"=")
        mac = b2a_base64(key.digest(body), newline=False).translate(_URL_SAFE)
        text = b"%b.%b" % (body, mac[:_MAC_CHARS])
        if len(text) > CAPABILITY_BYTES_MAX:
            raise CapabilityError(f"capability of {len(text)} bytes is too long", errno.E2BIG)
        return text.decode("ascii")

    def _add_key(self, node: str, generation: int) -> Mac:
        if len(self._keys) >= _KEYS_CACHED_MAX:
            self._keys.clear()
        key = _generation_key(node_key(self._secret, node), generation)
        self._keys[node, generation] = key
        return key


class Verifier:
    """The FST's side: one per FST process, for its own node name."""

    def __init__(
        self, secrets: Sequence[bytes], node: str, nonces: NonceWindow | None = None
    ) -> None:
        """`secrets`: all valid keys of the keytab, those that have not begun too."""
        self.node = node
        self.nonces = nonces if nonces is not None else NonceWindow()
        self._roots = [node_key(secret, node) for secret in secrets]
        self._keys: list[tuple[int, Mac]] = []
        self._keys_generation = -1

    def verify(
        self,
        text: str,
        *,
        ops: Collection[int],
        path: str,
        client: tuple[str, int, str],
        now_s: int,
        epoch_seen: int = 0,
    ) -> Capability:
        """The capability, if it may be honoured now; CapabilityError with the reason if not.

        `ops` are those that fit the request, `path` is the normalised path asked for, `client` is
        (login user, pid, host) of the session, `epoch_seen` the highest epoch this FST knows of.
        errno is ESTALE where a fresh ticket from the MGM would help (old epoch, expired, old key),
        EACCES for everything else: XrdCl goes back to the MGM on kXR_FSError, which ESTALE is.
        """
        capability = self._authentic(text, now_s)
        if capability.node != self.node:
            raise CapabilityError(f"capability is for {capability.node}, this is {self.node}")
        if capability.op not in ops:
            raise CapabilityError(f"capability does not allow this operation (op {capability.op})")
        if capability.path_hash != hash_path(path):
            raise CapabilityError("capability is for another path")
        if capability.issued_s > now_s + CAPABILITY_CLOCK_SKEW_SECONDS:
            raise CapabilityError("capability is from the future: compare the clocks")
        if capability.expires_s - capability.issued_s > CAPABILITY_SECONDS_MAX:
            raise CapabilityError("capability claims too long a life")
        if now_s > capability.expires_s:
            raise CapabilityError(
                f"capability expired {now_s - capability.expires_s} s ago", errno.ESTALE
            )
        if capability.epoch < epoch_seen:
            raise CapabilityError(
                f"capability is of epoch {capability.epoch}, now is {epoch_seen}", errno.ESTALE
            )
        self.nonces.admit(capability.nonce, client, capability.expires_s, now_s)
        return capability

    def _authentic(self, text: str, now_s: int) -> Capability:
        """The decoded capability after its MAC was found right under a live key."""
        if len(text) > CAPABILITY_BYTES_MAX:
            raise CapabilityError("capability is too long")
        try:
            raw = text.encode("ascii")
        except UnicodeEncodeError as error:
            raise CapabilityError("capability is not ASCII") from error
        body, dot, mac = raw.partition(b".")
        if not dot or len(mac) != _MAC_CHARS:
            raise CapabilityError("capability has no signature")
        generation = self._matching_generation(body, mac, now_s)
        try:
            payload = urlsafe_b64decode(body + b"=" * (-len(body) % 4))
            capability = _capability_decoder.decode(payload)
        except (msgspec.DecodeError, Base64Error, ValueError, RecursionError) as error:
            raise CapabilityError(f"capability is signed but unreadable: {error}") from error
        if capability.version != CAPABILITY_VERSION:
            raise CapabilityError(f"capability has unknown version {capability.version}")
        contradicts = key_generation(capability.issued_s) != generation
        if contradicts or len(capability.nonce) != NONCE_BYTES:
            raise CapabilityError("capability is signed but contradicts itself")
        return capability

    def _matching_generation(self, body: bytes, mac: bytes, now_s: int) -> int:
        for generation, key in self._live_keys(now_s):
            if hmac.compare_digest(_text_mac(key, body), mac):
                return generation
        raise CapabilityError("capability has a wrong signature, or its key is no longer valid")

    def _live_keys(self, now_s: int) -> list[tuple[int, Mac]]:
        """Keys of the current and the previous generation, and of the next one within the skew."""
        newest = key_generation(now_s + CAPABILITY_CLOCK_SKEW_SECONDS)
        if newest != self._keys_generation:
            oldest = key_generation(now_s) - 1
            self._keys = [
                (generation, _generation_key(root, generation))
                for generation in range(newest, oldest - 1, -1)
                for root in self._roots
            ]
            self._keys_generation = newest
        return self._keys


class GrantKeys:
    """Seals and opens grants; MGM only.

    The key does not rotate with time, since an FST's commit queue may hold a grant for days while
    no MGM is up. It changes with the keytab: grants are sealed under the key that signs and opened
    under any that is still in it, so an old key must stay until every commit queue is empty.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """`secrets`: all valid keys of the keytab, the one that signs first; at least one."""
        self._keys = [Mac(hmac.digest(secret, b"mgm|grant", "sha256")) for secret in secrets]

    def seal(self, grant: Grant) -> bytes:
        """Bytes for `Capability.grant`. Raises CapabilityError (E2BIG) above GRANT_BYTES_MAX."""
        payload = _encoder.encode(grant)
        if len(payload) + MAC_BYTES > GRANT_BYTES_MAX:
            raise CapabilityError(f"grant of {len(payload)} bytes is too long", errno.E2BIG)
        return payload + self._keys[0].digest(payload)

    def open(self, sealed: bytes) -> Grant:
        """The grant, after its MAC was found right. Raises CapabilityError."""
        if not MAC_BYTES < len(sealed) <= GRANT_BYTES_MAX:
            raise CapabilityError("grant has an impossible length")
        payload, mac = sealed[:-MAC_BYTES], sealed[-MAC_BYTES:]
        for key in self._keys:
            if hmac.compare_digest(key.digest(payload), mac):
                break
        else:
            raise CapabilityError("grant has a wrong signature, or its key left the keytab")
        try:
            grant = _grant_decoder.decode(payload)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise CapabilityError(f"grant is signed but unreadable: {error}") from error
        if grant.version != GRANT_VERSION:
            raise CapabilityError(f"grant has unknown version {grant.version}")
        return grant
