"""Planted bugs of leadership and journal: each must turn some seed red, and soon.

As in test_mutants.py; the plans hurt whoever is master, again and again.
"""

import asyncio
import random

import msgspec
import pytest

from thesan.core.authority.capability import Verifier
from thesan.core.leadership.detector import Detector
from thesan.core.leadership.lease import ReadLease
from thesan.core.model.errors import OperationError, Unavailable
from thesan.core.model.limits import FID_RANGE
from thesan.core.wire import responses
from thesan.core.wire.requests import FAttr
from thesan.io.journal.archive import Archive
from thesan.io.journal.checkpoint import Checkpointer
from thesan.io.journal.recorded import RecordedEngine
from thesan.io.journal.writer import JournalWriter
from thesan.roles.fst.beats import Heart
from thesan.roles.mgm import commits, mastership
from thesan.roles.mgm.fids import Fids
from thesan.roles.mgm.front import Front
from thesan.roles.mgm.held import HeldAnswers
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.peers import Peers
from thesan.roles.mgm.pipeline import Pipeline
from thesan.roles.mgm.replica import Replica
from thesan.roles.mgm.standby import Standby
from thesan.worlds.simulated.atlas import MASTER, Fault, FaultKind
from thesan.worlds.simulated.clock import SimClock
from thesan.worlds.simulated.cluster import Shape
from thesan.worlds.simulated.memory_engine import MemoryJournal
from thesan.worlds.simulated.pacemaker import SimPacemaker
from thesan.worlds.simulated.run import RunSettings


# -- the journal engine --------------------------------------------------------------------------
def no_fencing(patch):
    """The engine does not compare the owner in an append."""
    patch.setattr(MemoryJournal, "_must_be", lambda self, owner: None)


def claim_without_compare(patch):
    """The engine does not compare the owner in a claim."""
    take_over = MemoryJournal.take_over
    patch.setattr(
        MemoryJournal,
        "take_over",
        lambda self, seen, new, still=None: take_over(self, self.owner, new),
    )


def unknown_is_success(patch):
    """An append without an answer is taken for done."""
    store = JournalWriter._store

    async def believing(self, seq, data):
        engine, self._engine = self._engine, _Believing(self._engine)
        try:
            await store(self, seq, data)
        finally:
            self._engine = engine

    patch.setattr(JournalWriter, "_store", believing)


class _Believing:
    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    async def append(self, owner, seq, data):
        try:
            await self._engine.append(owner, seq, data)
        except Unavailable:
            pass


def trimmed_before_durable(patch):
    """The journal is trimmed up to its head, whoever has it on his disk; and nobody has."""

    async def step(self):
        if self._owner is not None:
            status = await self._engine.status()
            await self._engine.trim(self._owner, status.last)
        return self._applied()

    async def nothing(self):
        await asyncio.sleep(1e9)

    def trim(self, owner, before):
        return self._engine.trim(owner, before)

    patch.setattr(Checkpointer, "step", step)
    patch.setattr(Archive, "_step", nothing)
    patch.setattr(RecordedEngine, "trim", trim)


# -- becoming master, and being it no more -------------------------------------------------------
def takeover_without_replay(patch):
    """A standby sleeps until it takes over, and begins with what its store has."""

    async def sleep(self):
        await asyncio.sleep(1e9)

    async def none(process, namespace):
        return Replica(namespace, process.store).position

    def ignorant(self, seen):
        return msgspec.structs.replace(situation(self, seen), head=0)

    situation = Standby._situation
    patch.setattr(Standby, "_follow", sleep)
    patch.setattr(Standby, "_situation", ignorant)
    patch.setattr(mastership, "_catch_up", none)


def silence_through_holes(patch):
    """A standby counts silence while the engine does not answer."""
    init = Detector.__init__

    def endless(self, timing):
        init(self, timing)
        self._hole_s = float("inf")

    patch.setattr(Detector, "__init__", endless)


def impatient(patch):
    """One missed look is silence enough."""
    patch.setattr(Detector, "silence_s", property(lambda self: 60.0 if self._look else 0.0))


def resigned_without_a_word(patch):
    """Whoever is not heard as master has resigned."""
    patch.setattr(Peers, "has_resigned", lambda self, owner: True)


def old_answers_not_dropped(patch):
    """A master that lost its place answers what it had not yet answered."""

    def answered(self):
        for replies in self._replies.values():
            for receiver, answers in replies.items():
                receiver.reply(b"".join(answers))
        self._replies.clear()

    patch.setattr(HeldAnswers, "drop", answered)


def no_read_lease(patch):
    """A master answers reads for as long as nobody tells it better."""

    def confirmed(self, sent_s):
        self.until = float("inf")

    patch.setattr(ReadLease, "confirmed", confirmed)


def lease_on_wall_clock(patch):
    """The lease goes by the time of day."""
    patch.setattr(SimClock, "boot_s", lambda self: self.now_ns() / 1e9)


def pending_changes_shown(patch):
    """A read shows what is not yet durable."""

    def early(self, receiver, tag, data):
        return self.held.answer(receiver, self.held.committed, data)

    patch.setattr(Pipeline, "answer", early)
    patch.setattr(Master, "show", lambda self, connection, tag, sid, body: responses.ok(sid, body))


def standby_answers_strict_reads(patch):
    """A standby serves whoever asks."""
    to_master = Front.to_master

    def here(self, connection, request, *arguments):
        is_read = isinstance(request, FAttr) and not request.values
        if self.standby is not None and is_read:
            desk = self.standby.desk
            try:
                return self._serve(desk, connection, request)
            except OperationError as error:
                return desk.refuse(connection, request.sid, error)
        return to_master(self, connection, request, *arguments)

    patch.setattr(Front, "to_master", here)


def sessions_not_waited_for(patch):
    """A standby shows what it has, whatever its client has seen."""
    patch.setattr(
        Front,
        "_serve_from",
        lambda self, standby, connection, request, seq: self._serve_here(
            standby, connection, request
        ),
    )


def pacemaker_behind_requests(patch):
    """Beats queue behind requests, in the loop of the MGM."""
    init = SimPacemaker.__init__

    def without_thread(self, engine, clock, thread=None):
        init(self, engine, clock)

    patch.setattr(SimPacemaker, "__init__", without_thread)


def pacemaker_for_the_hung(patch):
    """Beats go on for a loop that never comes back."""
    patch.setattr("thesan.worlds.simulated.pacemaker.LOOP_STALL_SECONDS_MAX", float("inf"))


def entry_applied_twice(patch):
    """A standby applies the ops of some entries twice."""
    apply = Replica.apply

    def twice(self, entry):
        if entry.seq % 40 == 0:
            apply(self, entry)
        return apply(self, entry)

    patch.setattr(Replica, "apply", twice)


def entry_skipped(patch):
    """A standby leaves out the last op of some entries."""
    apply = Replica.apply

    def short(self, entry):
        if entry.seq % 40 == 0:
            entry = msgspec.structs.replace(entry, ops=entry.ops[:-1])
        return apply(self, entry)

    patch.setattr(Replica, "apply", short)


def standby_forgets_configuration(patch):
    """A standby does not see that the configuration changed."""
    applied = Standby._applied
    patch.setattr(Standby, "_applied", lambda self, entry, sections: applied(self, entry, {}))


# -- ids and tickets -----------------------------------------------------------------------------
def fids_given_out_twice(patch):
    """A new master begins before what the old one may have given out."""

    def begin(self, first, reserve):
        init(self, first, reserve)
        self._next = max(2, int(first) - FID_RANGE)

    init = Fids.__init__
    patch.setattr(Fids, "__init__", begin)


def old_epochs_obeyed(patch):
    """An FST honours the capabilities of a master that is none any more."""
    verify = Verifier.verify

    def any_epoch(self, text, **arguments):
        arguments["epoch_seen"] = 0
        return verify(self, text, **arguments)

    patch.setattr(Verifier, "verify", any_epoch)


def tries_not_told_apart(patch):
    """A late try of an upload is let in after another try of it was committed."""
    patch.setattr(commits, "_check_no_other_try", lambda master, grant: None)


def fsts_beat_to_the_master_only(patch):
    """An FST does not tell the standbys that it lives."""
    visit = Heart.visit

    async def to_master(self, link):
        while self._mgms.master != link.address and self.epoch:
            await asyncio.sleep(0.1)
        await visit(self, link)

    patch.setattr(Heart, "visit", to_master)


# -- plans ---------------------------------------------------------------------------------------
def _again_and_again(
    kind: FaultKind, length: tuple[float, float], gap: float, *, seconds: float = 25.0
) -> tuple[Fault, ...]:
    """Whoever is master, in the middle of something, again and again."""
    dice = random.Random(kind.value)
    targets = (MASTER, "client1") if kind is FaultKind.SPLIT else (MASTER,)
    plan, at = [], 1.0
    while at < seconds:
        lasts = dice.uniform(*length)
        plan.append(Fault(at, lasts, kind, targets, "", dice.randint(1, 12)))
        at += lasts + gap
    return tuple(plan)


def _registers(*plans: tuple[Fault, ...], **settings: object) -> RunSettings:
    """Clients that do nothing but read and set what the MGMs alone hold."""
    shape = Shape(fst_count=1, disk_count=1, replica_count=1, client_count=5)
    return _storm(*plans, files=False, shape=shape, **settings)


def _storm(*plans: tuple[Fault, ...], **settings: object) -> RunSettings:
    """Busy clients, small instance."""
    plan = tuple(sorted((fault for one in plans for fault in one), key=lambda fault: fault.at))
    defaults = {"pause_mean": 0.1, "shape": Shape(fst_count=2, disk_count=1)}
    return RunSettings(plan=plan, **{**defaults, **settings})


KILLS = _again_and_again(FaultKind.MGM_KILL, (0.5, 2.0), 4.0)
PAUSES = _again_and_again(FaultKind.MGM_PAUSE, (2.0, 5.0), 4.0)
SPLITS = _again_and_again(FaultKind.SPLIT, (3.0, 5.0), 4.0)
CUTS = _again_and_again(FaultKind.ENGINE_CUT, (2.0, 4.0), 3.0)
ELECTIONS = _again_and_again(FaultKind.ENGINE_LEADER, (1.0, 2.0), 3.0)
STALLS = _again_and_again(FaultKind.MGM_STALL, (1.8, 2.4), 3.0)
HANGS = _again_and_again(FaultKind.MGM_STALL, (15.0, 16.0), 9.0)
JOURNAL = _again_and_again(FaultKind.JOURNAL, (2.0, 4.0), 2.0)
CLOCKS = tuple(Fault(at, 4.0, FaultKind.CLOCK, (MASTER,)) for at in (2.5, 9.5, 16.5))
OUTAGES = _again_and_again(FaultKind.ENGINE_MAJORITY, (2.0, 4.0), 3.0)
BEHIND = tuple(
    Fault(1.0 + 4.0 * number, 3.5, FaultKind.ENGINE_CUT, (f"mgm{1 + number % 3}",))
    for number in range(6)
)
CLIENTS = tuple(
    Fault(2.0 + 0.7 * number, 0.1, FaultKind.CLIENT_KILL, (f"client{1 + number % 3}",))
    for number in range(30)
)
SLOW = (Fault(2.0, 22.0, FaultKind.ENGINE_SLOW, ("mgm1",)),)
HAND_OVERS = tuple(
    Fault(1.0 + 0.8 * number, 0.0, FaultKind.HAND_OVER, (f"mgm{1 + number % 3}",), "", 6)
    for number in range(30)
)
DELAYS = tuple(
    Fault(1.0, 24.0, FaultKind.DELAY, (f"client{client}", f"fst{fst}"))
    for client in (1, 2, 3)
    for fst in (1, 2)
)
ALL_OFF = tuple(
    Fault(at, 1.0, FaultKind.MGM_POWER, (f"mgm{number}",))
    for at in (8.0, 18.0)
    for number in (1, 2, 3)
)

HOSTS = tuple(
    Fault(1.0 + 7.0 * number, 3.0, FaultKind.HOST_GONE, (MASTER, f"fst{1 + number % 3}"), "", 20)
    for number in range(4)
)

MUTANTS = {
    no_fencing: _storm(PAUSES, JOURNAL),
    claim_without_compare: _storm(KILLS),
    unknown_is_success: _storm(OUTAGES),
    trimmed_before_durable: _storm(ALL_OFF),
    takeover_without_replay: _storm(KILLS),
    silence_through_holes: _storm(ELECTIONS, OUTAGES),
    impatient: _storm(ELECTIONS),
    resigned_without_a_word: _storm(SPLITS),
    old_answers_not_dropped: _storm(CUTS),
    no_read_lease: _storm(SPLITS),
    lease_on_wall_clock: _storm(SPLITS, CLOCKS),
    pending_changes_shown: _registers(KILLS, SLOW),
    standby_answers_strict_reads: _registers(BEHIND, KILLS),
    sessions_not_waited_for: _storm(BEHIND),
    pacemaker_behind_requests: _storm(STALLS),
    pacemaker_for_the_hung: _storm(HANGS, goal_seconds=10.0),
    entry_applied_twice: _storm(()),
    entry_skipped: _storm(()),
    standby_forgets_configuration: _storm(()),
    fids_given_out_twice: _storm(KILLS),
    old_epochs_obeyed: _storm(HAND_OVERS, DELAYS),
    fsts_beat_to_the_master_only: _storm(KILLS),
    tries_not_told_apart: _storm(HOSTS, shape=Shape(), churn=True),
}
"""Planted bug -> what the runs are like."""
HINTS = {
    trimmed_before_durable: 1,
    silence_through_holes: 1,
    pending_changes_shown: 4,
    standby_answers_strict_reads: 1,
    tries_not_told_apart: 11,
}
"""Seeds that saw it; seed 0 sees the others."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_planted_bugs_are_found(mutant, hunt):
    hunt(mutant, MUTANTS[mutant], HINTS.get(mutant, 0))
