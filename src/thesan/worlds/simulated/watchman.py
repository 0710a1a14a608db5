"""A look around several times a second: what must hold at every moment, not only at the end."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from thesan.core.authority.capability import Capability
from thesan.core.leadership.decision import Claim
from thesan.io.transport.server import ServerConnection
from thesan.roles.fst.service import Fst
from thesan.roles.fst.store import FsStore

SUSPICIONS: Final = (Claim.SILENT.value, Claim.GONE.value)
"""Grounds of a claim that may be wrong."""
LOOK_SECONDS: Final = 0.2
DARK_SECONDS_MAX: Final = 2.0
"""What an FST knows of itself reaches every MGM by the next beat."""
FST_CALM_SECONDS: Final = 10.0
"""An FST that nothing happened to for so long is known to every MGM that was calm, too."""
MGM_CALM_SECONDS: Final = 6.0
"""An MGM that nothing happened to for so long has heard every FST: redial and beat."""


@dataclass(frozen=True)
class Reign:
    """A master as the watchman sees it."""

    node: str
    """Machine of the MGM."""
    epoch: int
    dark: dict[str, str]
    """What it takes to be wrong with filesystems and is not, by machine of the FST."""


class Watched(Protocol):
    """What the watchman needs from a cluster."""

    def reigns(self) -> Iterable[Reign]:
        """MGMs that believe to be master."""
        ...

    def owner_of(self, epoch: int) -> str:
        """Who has that epoch by the journal; empty when nobody."""
        ...

    def calm_seconds(self, machine: str) -> float: ...

    def owners(self) -> Sequence[tuple[int, str]]:
        """(epoch, machine) of everybody who ever owned the journal, in order."""
        ...

    def excuses_takeover(self, master: str) -> bool:
        """Whether a master on that machine had a reason to fall silent until now."""
        ...

    def ground_of(self, epoch: int) -> str:
        """On what ground that epoch was claimed; empty while nobody knows."""
        ...


class Watchman:
    """Collects violations; `look` is called again and again."""

    def __init__(self, cluster: Watched) -> None:
        self.violations: list[str] = []
        self._cluster = cluster
        self._owner_count = 0
        self._unprovoked: dict[int, str] = {}
        """Who was master before, by epoch."""
        self._dark: dict[tuple[str, str], int] = {}
        """Looks in a row, by MGM and FST."""

    async def watch(self) -> None:
        """For ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """E1: one master for each epoch, the one of the journal. And no FST that lives is lost."""
        self._look_at_owners()
        holders: dict[int, str] = {}
        dark: dict[tuple[str, str], int] = {}
        for reign in self._cluster.reigns():
            other = holders.setdefault(reign.epoch, reign.node)
            if other != reign.node:
                self._violate(f"{other} and {reign.node} are both master of epoch {reign.epoch}")
            owner = self._cluster.owner_of(reign.epoch)
            if owner != reign.node:
                self._violate(f"{reign.node} is master of epoch {reign.epoch}, which is {owner}'s")
            if self._cluster.calm_seconds(reign.node) < MGM_CALM_SECONDS:
                continue
            for fst, why in reign.dark.items():
                if self._cluster.calm_seconds(fst) >= FST_CALM_SECONDS:
                    dark[reign.node, fst] = self._dark.get((reign.node, fst), 0) + 1
                    if dark[reign.node, fst] * LOOK_SECONDS > DARK_SECONDS_MAX:
                        self._violate(f"{reign.node} has lost {fst} for no reason: {why}")
        self._dark = dark

    def _look_at_owners(self) -> None:
        """Take note of who lost the journal for no reason that we know of."""
        owners = self._cluster.owners()
        for number in range(max(1, self._owner_count), len(owners)):
            epoch, _ = owners[number]
            before = owners[number - 1][1]
            if not self._cluster.excuses_takeover(before):
                self._unprovoked[epoch] = before
        self._owner_count = len(owners)

    def judge(self) -> list[str]:
        """All violations, at the end: a master that lived was not taken for dead."""
        return self.violations + [
            f"{before} was healthy, and lost its mastership to epoch {epoch}: {ground}"
            for epoch, before in self._unprovoked.items()
            if (ground := self._cluster.ground_of(epoch)) in SUSPICIONS
        ]

    def _violate(self, text: str) -> None:
        if text not in self.violations and len(self.violations) < 100:
            self.violations.append(text)


class EpochWitness:
    """F1: one run of an FST never obeys an older epoch after a newer one."""

    def __init__(self, name: str) -> None:
        self.violations: list[str] = []
        self._name = name
        self._newest = 0

    def watch(self, fst: Fst) -> None:
        """Stand beside its gate."""
        gate = fst.parts.gate
        check = gate.check

        def checked(
            connection: ServerConnection, ops: Collection[int], path: str, cgi: Mapping[str, str]
        ) -> tuple[Capability, FsStore]:
            capability, store = check(connection, ops, path, cgi)
            self.obeyed(capability, fst.parts.heart.epoch)
            return capability, store

        vars(gate)["check"] = checked

    def obeyed(self, capability: Capability, epoch_seen: int) -> None:
        """A capability was good enough, when the FST had seen that epoch."""
        self._newest = max(self._newest, epoch_seen)
        if capability.epoch < self._newest:
            self.violations.append(
                f"{self._name} obeyed epoch {capability.epoch} after epoch {self._newest}"
            )
        self._newest = max(self._newest, capability.epoch)
