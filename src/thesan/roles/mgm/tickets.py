"""Capabilities for clients and grants for commits, signed with the keytab's newest key."""

from collections.abc import Sequence
from typing import Final

import msgspec

from thesan.core.authority.capability import (
    CGI_KEY,
    NONCE_BYTES,
    Capability,
    Grant,
    GrantKeys,
    Op,
    Replica,
    Signer,
    hash_path,
)
from thesan.core.authority.keytab import Keytab
from thesan.core.model.identity import Identity
from thesan.core.model.ids import Epoch, Fsid, NodeId
from thesan.core.model.limits import CAPABILITY_SECONDS_MAX
from thesan.roles.mgm.dice import Dice

_READ: Final = int(Op.READ)

Place = tuple[Fsid, NodeId]
"""A filesystem and the FST that has it."""


class Work(msgspec.Struct, frozen=True, gc=False):
    """What a capability is to allow: one thing to one file, asked for by one path."""

    op: Op
    fid: int
    path: str
    """Normalised, as the client asked for it: symbolic links are not resolved."""
    layout: int
    booking_size: int = 0
    grant: bytes = b""
    """Sealed, for the head FST."""


class Tickets:
    """Signs for one mastership."""

    def __init__(self, keytab: Keytab, dice: Dice, epoch: Epoch, now_s: int) -> None:
        """`now_s`: seconds since 1970. Raises ConfigError when every key has expired."""
        self._keytab = keytab
        self._dice = dice
        self._epoch = epoch
        self._refresh(now_s)

    def _refresh(self, now_s: int) -> None:
        """Take the keys that are valid now, and remember for which seconds that stays so."""
        secrets = self._keytab.secrets(now_s)
        self._signer = Signer(self._keytab.newest(now_s).secret)
        self._grants = GrantKeys(secrets)
        fresh = self._keytab.unchanged(now_s)
        # Two numbers: comparing with them is what every open does.
        self._since_s, self._until_s = fresh.start, fresh.stop

    def capability(self, work: Work, place: Place, who: Identity, now_s: int) -> str:
        """CGI text that lets `who` do `work` at one FST."""
        return f"{CGI_KEY}={self._sign(work, place, who, now_s, (), work.grant)}"

    def to_read(
        self, fid: int, path: str, layout: int, place: Place, who: Identity, now_s: int
    ) -> str:
        """As `capability` with Op.READ: by far the most frequent, so without a Work in between."""
        if not self._since_s <= now_s < self._until_s:
            self._refresh(now_s)
        fsid, node = place
        return f"{CGI_KEY}=" + self._signer.sign(
            Capability(
                _READ,
                fid,
                node,
                fsid,
                hash_path(path),
                layout,
                who.uid,
                who.gid,
                self._epoch,
                now_s,
                now_s + CAPABILITY_SECONDS_MAX,
                self._dice.take(NONCE_BYTES),
            )
        )

    def capability_for_all(
        self, work: Work, places: Sequence[Place], who: Identity, now_s: int
    ) -> str:
        """CGI text for the head (the first place), with what it needs to fan out to the others."""
        others = tuple(
            [
                Replica(place[0], place[1], self._sign(work, place, who, now_s, (), b""))
                for place in places[1:]
            ]
        )
        return f"{CGI_KEY}={self._sign(work, places[0], who, now_s, others, work.grant)}"

    def _sign(
        self,
        work: Work,
        place: Place,
        who: Identity,
        now_s: int,
        others: tuple[Replica, ...],
        grant: bytes,
    ) -> str:
        if not self._since_s <= now_s < self._until_s:
            self._refresh(now_s)
        return self._signer.sign(
            Capability(
                work.op,
                work.fid,
                place[1],
                place[0],
                hash_path(work.path),
                work.layout,
                who.uid,
                who.gid,
                self._epoch,
                now_s,
                now_s + CAPABILITY_SECONDS_MAX,
                self._dice.take(NONCE_BYTES),
                others,
                work.booking_size,
                grant,
            )
        )

    def seal(self, grant: Grant, now_s: int) -> bytes:
        """A grant as the FST will carry it. Raises CapabilityError E2BIG."""
        if not self._since_s <= now_s < self._until_s:
            self._refresh(now_s)
        return self._grants.seal(grant)

    def open(self, sealed: bytes, now_s: int) -> Grant:
        """The grant that an FST gave back. Raises CapabilityError."""
        if not self._since_s <= now_s < self._until_s:
            self._refresh(now_s)
        return self._grants.open(sealed)
