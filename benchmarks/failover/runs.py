"""One run of a case: clients at work, the fault, its end, and what everybody saw of it."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from benchmarks.failover.bed import Bed, Clients
from benchmarks.failover.cases import Case
from benchmarks.failover.network import BedError
from benchmarks.failover.record import (
    Event,
    Verdict,
    errors,
    gaps,
    masters,
    new_master_at,
    services_by,
    wrong_redirects,
)
from thesan.core.leadership.decision import Claim

WARM_SECONDS = 1.0
"""Clients at work before the fault, plus a random phase of `PHASE_SECONDS`."""
PHASE_SECONDS = 0.5
OBSERVE_SECONDS = 2.0
"""Clients at work after everything is well again."""
RECOVERY_SECONDS_MAX = 60.0
"""Every lane must have succeeded again by then; else it is written down as not over."""
EQUAL_SECONDS_MAX = 10.0
REDIRECT_GRACE_SECONDS = 1.0
"""Later than this after the takeover nobody may be sent to the old master."""
RESTARTED_SECONDS = 3.0
"""A standby that has just started learns of the filesystems by the next beats."""
POLL_SECONDS = 0.05


class Result(msgspec.Struct):
    """What one run of a case showed. Seconds; lists name what was wrong."""

    case: str
    run: int
    master: str = ""
    new_master: str = ""
    gap: float = 0.0
    """Longest time without success of the worst lane."""
    gap_lane: str = ""
    gaps: dict[str, float] = msgspec.field(default_factory=dict)
    """Of every lane."""
    quiet_gap: float = 0.0
    """The same before the fault: what the machine itself does to the lanes."""
    takeover: float = 0.0
    """From the fault to the first answer of the new master to the prober."""
    fault_took: float = 0.0
    """Length of the strike itself: hand-over's own time, for instance."""
    equal_after: float = 0.0
    whole_after: float = 0.0
    broken: str = ""
    """What was the last to be whole again."""
    errors: list[str] = msgspec.field(default_factory=list)
    """What thesan's clients saw."""
    xrdcp_copies: int = 0
    xrdcp_slowest: float = 0.0
    xrdcp_errors: list[str] = msgspec.field(default_factory=list)
    xrdcp_errors_on_dead: list[str] = msgspec.field(default_factory=list)
    """Of xrdcp, at the FST that died with the host."""
    lost: list[str] = msgspec.field(default_factory=list)
    acknowledged: int = 0
    manual_steps: int = 0
    fsts_restarted: list[str] = msgspec.field(default_factory=list)
    bad_filesystems: list[str] = msgspec.field(default_factory=list)
    """Filesystems of living FSTs that an MGM did not show as booted and online."""
    wrong_redirects: list[str] = msgspec.field(default_factory=list)
    stale_services: list[str] = msgspec.field(default_factory=list)
    """Answers as master by the deposed one."""
    unequal: str = ""
    masters: list[str] = msgspec.field(default_factory=list)
    switches: list[str] = msgspec.field(default_factory=list)
    """Every epoch that began, with its ground and why, as `ns master --history` tells."""
    deposed: list[str] = msgspec.field(default_factory=list)
    """Those of them that a master did not want which was only slow."""
    trouble: str = ""
    """The run could not be finished, and why."""

    @property
    def faults(self) -> list[str]:
        """Everything that must not be, whatever the times are."""
        found = [
            *(f"error: {text}" for text in self.errors),
            *(f"xrdcp: {text}" for text in self.xrdcp_errors),
            *(f"lost: {text}" for text in self.lost),
            *(f"restarted: {text}" for text in self.fsts_restarted),
            *(f"filesystem: {text}" for text in self.bad_filesystems),
            *(f"redirect: {text}" for text in self.wrong_redirects),
            *(f"served after it was deposed: {text}" for text in self.stale_services),
            *(f"deposed for nothing: {text}" for text in self.deposed),
        ]
        if self.unequal:
            found.append(f"views differ: {self.unequal}")
        if self.trouble:
            found.append(self.trouble)
        return found


class Run:
    """`Run(bed, case, number).execute()`. The bed is whole before, and after unless it says so."""

    def __init__(self, bed: Bed, case: Case, number: int) -> None:
        self.bed = bed
        # One MGM alone has nobody to follow it: it comes back.
        self.case = case if len(bed.cluster.mgms) > 1 else replace(case, moves=None)
        self.result = Result(case.name, number)
        self._dice = random.Random(f"{case.name} {number}")
        self._struck = 0.0
        self._healed = 0.0
        self._ended = 0.0

    def execute(self) -> Result:
        """The whole run."""
        bed, case, result = self.bed, self.case, self.result
        bed.wait_whole()
        master = result.master = bed.wait_master()
        case.arrange(bed, master)
        master = result.master = bed.wait_master()
        fsts = self._fst_pids()
        known = {switch["epoch"] for switch in bed.switches()}
        name = f"{case.name}-{result.run}-{int(time.monotonic() * 10)}"
        clients = bed.start_clients(name)
        try:
            time.sleep(WARM_SECONDS + self._dice.uniform(0, PHASE_SECONDS))
            self._strike(clients, master)
        except BedError as error:
            result.trouble = str(error)
            result.manual_steps += 1
        self._ended = time.monotonic()
        self._judge(clients, bed.stop_clients(clients), fsts)
        if not result.trouble:
            self._judge_switches([one for one in bed.switches() if one["epoch"] not in known])
            _, unequal = bed.equal_views(bed.cluster.mgms, EQUAL_SECONDS_MAX, at_rest=True)
            result.unequal = result.unequal or unequal
        return result

    # -- the fault -------------------------------------------------------------------------------
    def _strike(self, clients: Clients, master: str) -> None:
        bed, case, result = self.bed, self.case, self.result
        self._struck = time.monotonic()
        undo = case.strike(bed, master)
        struck_at = time.monotonic()
        result.fault_took = struck_at - self._struck
        try:
            if case.moves:
                self._until_moved(master)
                self._until_served(clients, struck_at)
                self._compare_living(master)
            time.sleep(max(0.0, self._struck + case.hold_s - time.monotonic()))
        finally:
            undo()
            self._healed = time.monotonic()
        self._until_served(clients, self._healed)
        result.whole_after = bed.wait_whole()
        result.broken = bed.last_broken
        time.sleep(OBSERVE_SECONDS)

    def _until_moved(self, old: str) -> None:
        found = ""

        def moved() -> bool:
            nonlocal found
            found, at = new_master_at(self.bed.sightings(), old, self._struck)
            if found:
                self.result.takeover = at - self._struck
            return bool(found)

        self.bed.until(moved, f"another master than {old}", RECOVERY_SECONDS_MAX)
        self.result.new_master = found

    def _until_served(self, clients: Clients, since: float) -> None:
        """Every lane succeeded in something that it began after `since`."""

        def served() -> bool:
            lanes = {event.lane: False for event in clients.events()}
            for event in clients.events():
                if event.ok and event.began > since:
                    lanes[event.lane] = True
            return all(lanes.values())

        self.bed.until(served, "every lane succeeds again", RECOVERY_SECONDS_MAX)

    def _compare_living(self, old: str) -> None:
        """Admin views of the MGMs that the fault left alone."""
        living = [host for host in self.bed.cluster.mgms if host != old]
        took, self.result.unequal = self.bed.equal_views(living, EQUAL_SECONDS_MAX)
        self.result.equal_after = took

    def _fst_pids(self) -> dict[str, int]:
        return {host: self.bed.cluster.pid(host, "fst") for host in self.bed.cluster.fsts}

    # -- the judgement ---------------------------------------------------------------------------
    def _judge(self, clients: Clients, verdict: Verdict, fsts: dict[str, int]) -> None:
        result = self.result
        events = clients.events()
        start, end = self._struck or self._ended, self._ended
        before = [event for event in events if event.ended < start]
        quiet = gaps(before, start - WARM_SECONDS, start)
        result.quiet_gap = quiet[0].seconds if quiet else 0.0
        worst = gaps(events, start, end)
        result.gap, result.gap_lane = worst[0].seconds, worst[0].lane
        result.gaps = {one.lane: one.seconds for one in worst}
        result.errors = [_say(event) for event in errors(events, 0.0, end + 1e9)]
        self._judge_xrdcp()
        result.lost = verdict.faults
        result.acknowledged = verdict.acknowledged
        result.fsts_restarted = [
            host
            for host, pid in self._fst_pids().items()
            if pid != fsts[host] and host != self._struck_fst()
        ]
        self._judge_sightings(start, end)

    def _struck_fst(self) -> str:
        """Host whose FST the fault reached; empty when it reached none."""
        case = self.case
        return self.result.master if case.host_dies or case.kills_fst else case.fst

    def _judge_xrdcp(self) -> None:
        """Copies that ended since the last run, whatever run they began in."""
        result = self.result
        struck = self._struck_fst()
        dead = self.bed.cluster.fst_address(struck) if struck else "none"
        events = self.bed.new_xrdcp_events()
        result.xrdcp_copies = len(events)
        result.xrdcp_slowest = max((event.ended - event.began for event in events), default=0.0)
        for event in events:
            if not event.ok:
                is_there = event.place == dead
                kind = result.xrdcp_errors_on_dead if is_there else result.xrdcp_errors
                kind.append(_say(event))

    def _judge_switches(self, switches: list[dict[str, Any]]) -> None:
        for switch in switches:
            ground = switch["ground"]
            text = f"{switch['master']} epoch {switch['epoch']}: {ground}: {switch['why']}"
            self.result.switches.append(text)
            if self.case.is_alive and ground != Claim.HANDED_OVER.value:
                self.result.deposed.append(text)

    def _judge_sightings(self, start: float, end: float) -> None:
        result, case = self.result, self.case
        sights = self.bed.sightings()
        result.masters = masters(sights, start - WARM_SECONDS, end)
        if case.moves and result.new_master:
            moved = start + result.takeover
            late = wrong_redirects(sights, result.new_master, moved + REDIRECT_GRACE_SECONDS, end)
            result.wrong_redirects = [f"{s.at - start:.1f} s {s.host} to {s.target}" for s in late]
            stale = services_by(sights, result.master, moved, end)
            result.stale_services = [f"{s.at - start:.1f} s {s.host}" for s in stale]
        if case.cuts_fsts:
            return
        struck = self._struck_fst()
        address = self.bed.network.address(struck) if struck else "none"
        for sighting in self.bed.fs_sightings():
            if start <= sighting.at <= end and sighting.host != result.master:
                result.bad_filesystems += [
                    f"{sighting.at - start:.1f} s {sighting.host}: {text}"
                    for text in sighting.bad
                    if address not in text
                ]


def _say(event: Event) -> str:
    return f"{event.lane} {event.op} {event.path} {event.ended - event.began:.1f} s: {event.error}"


def repeat(bed: Bed, case: Case, count: int, tell: Callable[[Result], None]) -> list[Result]:
    """`count` runs on one bed, until one leaves it in pieces."""
    results = []
    for number in range(1, count + 1):
        result = Run(bed, case, number).execute()
        tell(result)
        results.append(result)
        if result.manual_steps:
            break
    return results
