"""One run: a whole instance, its clients and its misfortunes, decided by one number.

    start ─► clients work while the nemesis strikes ─► everything heals ─► clients verify
          ─► quiet ─► the checkers look at journal, namespace and disks

The same seed gives the same digest, whatever PYTHONHASHSEED is.
"""

import asyncio
import gc
import math
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from thesan.io.tasks import TaskOwner
from thesan.worlds.simulated import atlas, checkers, nemesis
from thesan.worlds.simulated.cluster import Cluster, Shape
from thesan.worlds.simulated.history import History
from thesan.worlds.simulated.loop import START_SECONDS, SimLoop
from thesan.worlds.simulated.network import NetworkSettings
from thesan.worlds.simulated.trace import Failure
from thesan.worlds.simulated.views import differences
from thesan.worlds.simulated.watchman import Watchman
from thesan.worlds.simulated.workload import Actor

START_SECONDS_MAX: Final = 30.0
"""Until every filesystem of a fresh instance is booted and known."""
SETTLE_SECONDS_MAX: Final = 30.0
"""Until everything is up again after the last fault."""
FINISH_SECONDS_MAX: Final = 400.0
"""Until the calls under way have ended: longer than any client's patience."""
VERIFY_SECONDS_MAX: Final = 120.0
"""Until every client has read back everything."""
VIEWS_SECONDS_MAX: Final = 2.0
"""Until all MGMs give the same answers, once everything is up."""
VIEW_CALL_SECONDS_MAX: Final = 30.0
"""For the questions themselves, at an MGM that has to be there."""
CALL_SECONDS_MEAN: Final = 0.3
"""What a call takes where faults are frequent."""
FLOOR_SHARE: Final = 0.15
"""Of the calls that clients would make then."""
DRIFT_SHARE: Final = 0.3
"""Runs in which no two monotonic clocks agree."""
QUIET_SECONDS_MAX: Final = 120.0
"""Until orphans, markers and pending deletions are gone."""


@dataclass(frozen=True)
class RunSettings:
    """What a run is made of, besides its seed."""

    seconds: float = 25.0
    """How long the clients work."""
    pause_mean: float = 0.5
    """Mean pause of a client between two calls."""
    goal_seconds: float = math.inf
    """Longest time that a call may take which only the MGMs have to answer."""
    fault_count_max: int = 8
    """Faults of a run are one to so many."""
    churn: bool = False
    """Much of what clients store they remove again at once."""
    files: bool = True
    """False: clients use attributes and counters only, what the MGMs alone hold."""
    faults: bool = True
    shape: Shape = field(default_factory=Shape)
    story: bool = False
    """Keep every event as a line."""
    plan: tuple[atlas.Fault, ...] | None = None
    """Faults to carry out instead of drawn ones."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    seed: str
    digest: str
    violations: list[str]
    counts: dict[str, int]
    unknown: list[str]
    """Calls without a definite answer, and what was said instead of one."""
    plan: list[str]
    story: list[str]
    virtual_seconds: float

    @property
    def ok(self) -> bool:
        """Nothing was violated."""
        return not self.violations

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        head = f"seed {self.seed}: {'ok' if self.ok else 'VIOLATED'} {self.digest} ({counts})"
        return "\n".join([head, *(f"  fault {text}" for text in self.plan), *self.violations])


class Run:
    """The run of one seed. `execute` may be called once."""

    def __init__(self, seed: int | str, settings: RunSettings) -> None:
        self.seed = str(seed)
        self.settings = settings
        self.violations: list[str] = []
        self.dice = random.Random(f"{self.seed} run")
        self.loop = SimLoop(self.seed, network=self._weather(), story=settings.story)
        shape = settings.shape
        if settings.faults and settings.plan is None:
            shape = replace(shape, drift=self.dice.random() < DRIFT_SHARE)
        self.cluster = Cluster(self.loop, shape)
        self.history = History()
        self.watchman = Watchman(self.cluster)
        self.actors: list[Actor] = []
        self.faults: list[atlas.Fault] = []

    def _weather(self) -> NetworkSettings:
        dice = random.Random(f"{self.seed} weather")
        return replace(
            NetworkSettings(),
            jitter_seconds=dice.choice([0.0001, 0.0001, 0.001, 0.01]),
            split_share=dice.choice([0.0, 0.02, 0.2]),
            window_bytes=dice.choice([1 << 16, 1 << 18, 1 << 20]),
        )

    def execute(self) -> Outcome:
        """Run to the end, whatever happens, and judge."""
        try:
            self.loop.run_until_complete(self._main())
        except Failure as error:
            self.violations.append(str(error))
        except Exception as error:  # an instance so broken that the run itself stumbles
            self.violations.append("".join(traceback.format_exception(error)))
        finally:
            digest, virtual = self.loop.trace.digest(), self.loop.now - START_SECONDS
            counts = self._counts()
            gc.collect()  # exceptions that nobody fetched are told now, not in another run
            self.loop.close()
        return Outcome(
            self.seed,
            digest,
            self.violations + self.loop.trace.failures,
            counts,
            [text for actor in self.actors for text in actor.tally.unknown_texts],
            [str(fault) for fault in self.faults],
            self.loop.trace.story(),
            virtual,
        )

    # -- phases --------------------------------------------------------------------------------
    async def _main(self) -> None:
        cluster, settings = self.cluster, self.settings
        if not await self._within(START_SECONDS_MAX, "the instance starts", cluster.start):
            return
        self.faults = self._plan()
        # A filesystem that failed stays out of service until somebody boots it: what lost its other
        # replica before can't be read meanwhile.
        strict = all(fault.kind is not atlas.FaultKind.SYNC_ERROR for fault in self.faults)
        for name in cluster.client_names:
            dice = random.Random(f"{self.seed} {name}")
            calls = cluster.calls(name)
            actor = Actor(
                self.loop,
                name,
                calls,
                dice,
                self.history,
                strict=strict,
                names=cluster.client_names,
                has_files=settings.files,
                churn=settings.churn,
            )
            self.actors.append(actor)
        if not await self._together(START_SECONDS_MAX, "clients begin", lambda a: a.begin()):
            return
        observers = TaskOwner("observers")
        observers.start("watchman", self.watchman.watch())
        storm = observers.start("storm", nemesis.execute(cluster, self.faults))
        until = self.loop.now + settings.seconds
        await self._together(
            settings.seconds + FINISH_SECONDS_MAX,
            "clients end their calls",
            lambda actor: actor.work(until, settings.pause_mean),
        )
        await storm
        await self._within(SETTLE_SECONDS_MAX, "everything is up again", cluster.settle)
        await self._compare_views("everything was up", figures=False)
        await self._together(VERIFY_SECONDS_MAX, "clients read back", lambda actor: actor.verify())
        await self._rest()
        await self._compare_views("everything was quiet", figures=True)
        self._judge_clients()

    def _plan(self) -> list[atlas.Fault]:
        cluster, settings = self.cluster, self.settings
        if settings.plan is not None:
            return list(settings.plan)
        if not settings.faults:
            return []
        return atlas.plan(
            self.dice,
            settings.seconds,
            atlas.Stage(
                cluster.mgm_names, cluster.fst_names, cluster.client_names, cluster.disk_paths
            ),
            settings.fault_count_max,
        )

    async def _compare_views(self, since: str, *, figures: bool) -> None:
        """Every MGM tells administrators the same, soon after everything is up."""
        until = self.loop.now + VIEWS_SECONDS_MAX
        faults: list[str] = []

        async def ask() -> None:
            faults[:] = differences(await self.cluster.views(), figures=figures)

        while await self._within(VIEW_CALL_SECONDS_MAX, "all MGMs tell what they see", ask):
            if not faults or self.loop.now >= until:
                break
            await asyncio.sleep(0.2)
        self.violations += [f"{VIEWS_SECONDS_MAX} s after {since}: {text}" for text in faults]

    async def _rest(self) -> None:
        """Wait until the instance is at rest, at most QUIET_SECONDS_MAX; damage is final."""
        until = self.loop.now + QUIET_SECONDS_MAX
        while True:
            namespace = await checkers.rebuild(self.cluster.journal)
            disks = [checkers.look_at(platter) for platter in self.cluster.platters()]
            unrest = checkers.check_rest(namespace, disks)
            unrest += checkers.check_replicas(self.cluster.journal, self.cluster.namespaces())
            if not unrest or self.loop.now >= until:
                break
            await asyncio.sleep(1.0)
        self.violations += [f"after {QUIET_SECONDS_MAX:.0f} s of quiet: {text}" for text in unrest]
        self.violations += checkers.check_namespace(namespace)
        self.violations += checkers.check_epochs(self.cluster.journal)
        self.violations += checkers.check_disks(namespace, disks)
        live = self.cluster.live_namespace()
        self.violations += await checkers.check_journal(self.cluster.journal, live)
        if live is not None:
            self.violations += checkers.check_namespace(live)

    def _judge_clients(self) -> None:
        self.violations += self.history.check()
        self.violations += self.watchman.judge()
        for witness in self.cluster.witnesses:
            self.violations += witness.violations
        for actor in self.actors:
            self.violations += actor.tally.violations
        self.violations += self._judge_progress()

    def _judge_progress(self) -> list[str]:
        """A system that does nothing does nothing wrong: there is a floor, and a goal."""
        settings = self.settings
        faults = []
        done = sum(actor.tally.acknowledged + actor.tally.refused for actor in self.actors)
        turn_seconds = settings.pause_mean + CALL_SECONDS_MEAN
        floor = FLOOR_SHARE * len(self.actors) * settings.seconds / turn_seconds
        if done < max(1.0, floor):
            faults.append(f"only {done} calls were answered, {floor:.0f} is the floor")
        for actor in self.actors:
            if actor.tally.longest_seconds > settings.goal_seconds:
                took = f"{actor.name} waited {actor.tally.longest_seconds:.1f} s for an attribute"
                faults.append(f"{took}, the goal is {settings.goal_seconds:.1f} s")
        return faults

    def _counts(self) -> dict[str, int]:
        tallies = [actor.tally for actor in self.actors]
        return {
            "acknowledged": sum(tally.acknowledged for tally in tallies),
            "refused": sum(tally.refused for tally in tallies),
            "unknown": sum(tally.unknown for tally in tallies),
            "killed": sum(tally.killed for tally in tallies),
            "faults": len(self.faults),
            "entries": int(self.cluster.journal.last),
            "epochs": len(self.cluster.journal.owners),
            "events": self.loop.trace.event_count,
        }

    # -- waiting -------------------------------------------------------------------------------
    async def _within(self, seconds: float, what: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Liveness: the work ends in its time, or the run is red."""
        try:
            async with asyncio.timeout(seconds):
                await work()
        except TimeoutError:
            self.violations.append(f"not within {seconds:.0f} s: {what}; {self.loop.waiting()}")
            return False
        return True

    async def _together(
        self, seconds: float, what: str, work: Callable[[Actor], Awaitable[None]]
    ) -> bool:
        """Every actor does its work in its own client process; a killed one goes on when reborn."""
        done = {actor.name: self.loop.create_future() for actor in self.actors}

        def begin(actor: Actor) -> None:
            """Start one actor's work; called from outside of every process."""
            process = self.cluster.client_process(actor.name)
            task = self.loop.start(process, _run_to_end(work, actor), what)
            task.add_done_callback(partial(_pass_on, done[actor.name]))

        def restarted(name: str) -> None:
            actor = next(actor for actor in self.actors if actor.name == name)
            actor.reborn(self.cluster.calls(name))
            if not done[name].done():
                begin(actor)

        async def everyone() -> None:
            for actor in self.actors:
                begin(actor)
            await asyncio.gather(*done.values())

        self.cluster.on_client_restart = restarted
        return await self._within(seconds, what, everyone)


async def _run_to_end(work: Callable[[Actor], Awaitable[None]], actor: Actor) -> None:
    await work(actor)


def _pass_on(future: "asyncio.Future[None]", task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(None)


def run(seed: int | str, settings: RunSettings | None = None) -> Outcome:
    """Run one seed and judge it."""
    # When a collection falls decides when finalizers speak: not in the middle of a run.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return Run(seed, settings or RunSettings()).execute()
    finally:
        if was_enabled:
            gc.enable()
