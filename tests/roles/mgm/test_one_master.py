"""Random stories of three MGMs that are killed, paused, cut off from the engine and each other:
one master per epoch, no acknowledged change lost, no strict read that is older than it may be."""

import asyncio
from random import Random

import pytest

from thesan.core.namespace import queries
from thesan.core.wire.numbers import Status
from thesan.core.wire.requests import Mkdir, Stat
from thesan.roles.mgm.process import Role

SID = b"\0\1"


class Story:
    """What happens, and what was promised meanwhile."""

    def __init__(self, trio, seed: int) -> None:
        self.trio = trio
        self.dice = Random(f"story {seed}")
        self.masters: dict[int, str] = {}
        """Who served in which epoch."""
        self.made: dict[str, None] = {}
        """Directories whose making was acknowledged, by any master."""
        self.number = 0
        self.stale: list[str] = []
        self.reads = 0

    async def client(self, bench) -> None:
        """Asks one MGM for changes and strict reads, whatever its role; never waits for it."""
        while True:
            await asyncio.sleep(self.dice.uniform(0.01, 0.15))
            if bench.mgm.master is not None:
                epoch = int(bench.mgm.master.epoch)
                assert self.masters.setdefault(epoch, bench.name) == bench.name
            self.number += 1
            path = f"/d{self.number}"
            self.ask(bench, Mkdir(SID, path), lambda path=path: self.made.setdefault(path))
            known = list(self.made)
            if known:
                wanted = self.dice.choice(known)
                self.ask(
                    bench, Stat(SID, wanted), self.count, lambda w=wanted: self.stale.append(w)
                )

    def count(self) -> None:
        self.reads += 1

    def ask(self, bench, request, on_ok, on_error=lambda: None) -> None:
        from_peer = _Peer(on_ok, on_error)
        answer = bench.mgm.handle(from_peer, request)
        if answer is not None:
            from_peer.reply(answer)

    def strike(self) -> None:
        """One misfortune."""
        trio, dice = self.trio, self.dice
        bench = dice.choice(trio.benches)
        network = trio.loop.network
        match dice.randrange(5):
            case 0:
                if bench.process.alive:
                    bench.crash(keep_writes=dice.randrange(bench.store.unflushed_count + 1))
            case 1:
                network.pause(bench.process)
            case 2:
                bench.engine.weather.up = False
                bench.engine.weather.silence_seconds = 0.5
            case 3:
                trio.journal.has_leader = False
            case 4:
                bench.engine.weather.fault_chance = 0.3
                bench.engine.weather.late_seconds = dice.uniform(0.1, 3.0)

    def mend(self) -> None:
        """Everything but what is stored."""
        trio = self.trio
        trio.journal.has_leader = True
        for bench in trio.benches:
            if not bench.process.alive:
                bench.start(wait=False)
                self.watch(bench)
            trio.loop.network.resume(bench.process)
            bench.engine.weather.up = True
            bench.engine.weather.fault_chance = 0.0

    def watch(self, bench) -> None:
        self.trio.loop.start(bench.process, self.client(bench), "client")


class _Peer:
    def __init__(self, on_ok, on_error) -> None:
        from thesan.core.model.identity import ROOT
        from thesan.roles.mgm.sessions import Session

        self.identity = ROOT
        self.peer_host, self.session_id, self.user, self.pid = "h", b"s" * 16, "u", 1
        self.state = Session(prot="unix", name="root")
        self.is_closed, self.unsent_bytes, self.idle_seconds = False, 0, 0.0
        self._on_ok, self._on_error = on_ok, on_error

    def reply(self, data: bytes) -> None:
        status = int.from_bytes(data[2:4], "big")
        if status == Status.OK:
            self._on_ok()
        elif status == Status.ERROR:
            self._on_error()

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_there_is_one_master(trio, seed: int) -> None:
    story = Story(trio, seed)
    trio.start()
    for bench in trio.benches:
        story.watch(bench)
    trio.until_master()
    for _ in range(12):
        trio.sleep(story.dice.uniform(0.2, 3.0))
        for _ in range(story.dice.randrange(1, 3)):
            story.strike()
        trio.sleep(story.dice.uniform(0.1, 4.0))
        story.mend()
    trio.sleep(15)
    roles = sorted(bench.mgm.role.value for bench in trio.benches)
    assert roles == [Role.MASTER.value, Role.STANDBY.value, Role.STANDBY.value]
    assert story.stale == [], "a strict read did not show what was acknowledged before it"
    assert len(story.made) > 50
    assert story.reads > 50
    for bench in trio.benches:
        for path in story.made:
            namespace = bench.mgm.desk.namespace
            assert queries.lookup(namespace, path, _Peer(None, None).identity).fid
    trio.loop.trace.failures.clear()
