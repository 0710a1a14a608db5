"""The simulation is tested by planted bugs: each must turn some seed red, and soon.

A seed counts only when it is green without the bug, so that no other fault can catch a mutant.
"""

import asyncio
import random

import pytest

from thesan.io.journal.writer import JournalWriter
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.fst.commits import Commits
from thesan.roles.fst.finish import Finisher
from thesan.roles.fst.links import PeerLink
from thesan.roles.fst.recovery import Recovery
from thesan.roles.fst.store import FsStore
from thesan.roles.fst.sums import RunningSums
from thesan.roles.mgm import commits as mgm_commits
from thesan.roles.mgm.fst_links import FstLinks
from thesan.roles.mgm.held import HeldAnswers
from thesan.worlds.simulated.atlas import MASTER, Fault, FaultKind
from thesan.worlds.simulated.cluster import Shape
from thesan.worlds.simulated.disk import SimDisk
from thesan.worlds.simulated.loop import START_SECONDS
from thesan.worlds.simulated.run import RunSettings


def close_answered_before_commit(patch):
    """The FST answers a close when the data are durable, and commits afterwards."""
    deliver = Commits.deliver

    async def later(self, make, fid, own_fsid, *, is_new):
        async def work():
            await asyncio.sleep(0.2)
            await deliver(self, make, fid, own_fsid, is_new=is_new)

        asyncio.get_running_loop().create_task(work())

    patch.setattr(Commits, "deliver", later)


def answer_before_durable(patch):
    """The MGM answers a mutation when it is in memory; the journal is a slow one."""
    answer, store = HeldAnswers.answer, JournalWriter._store

    def early(self, receiver, seq, data):
        # Not at once: the instance's own first steps would fail, which proves less.
        is_up = asyncio.get_running_loop().time() > START_SECONDS + 3.0
        return data if is_up else answer(self, receiver, seq, data)

    async def slowly(self, seq, data):
        await asyncio.sleep(0.05)
        return await store(self, seq, data)

    patch.setattr(HeldAnswers, "answer", early)
    patch.setattr(JournalWriter, "_store", slowly)


def partial_files_kept(patch):
    """Uploads that nobody finished are never resolved."""
    patch.setattr(Recovery, "add", lambda self, store, fid, marker, delay_seconds: None)


def data_not_synced(patch):
    """The FST commits what is only in the page cache."""

    async def no_sync(self, handle):
        return None

    async def no_seal(self, handle, name, value):
        self.inode(handle).xattrs[name] = value

    patch.setattr(SimDisk, "sync", no_sync)
    patch.setattr(SimDisk, "seal", no_seal)


def marker_gone_too_early(patch):
    """The head forgets its marker before the MGM has answered the commit."""
    patch.setattr(Finisher, "_mark", lambda self, upload, commit: self._unmark(upload))


def deletions_forgotten(patch):
    """Deletions are reported and not done."""

    async def nothing(self, fid):
        return True

    patch.setattr(FsStore, "remove_data", nothing)


def sums_ignore_order(patch):
    """Running checksums believe that every write continues the last one."""
    patch.setattr(RunningSums, "continues", lambda self, offset: self.is_valid)


def replica_misses_writes(patch):
    """Every seventh write is not forwarded, and the head believes that replicas are equal."""
    write = PeerLink.write
    count = [0]

    async def some(self, offset, data):
        count[0] += 1
        if count[0] % 7:
            await write(self, offset, data)

    async def believing(self, upload, mtime_ns):
        own = await upload.seal(mtime_ns)
        await upload.on_links(lambda link: link.seal(mtime_ns))
        return {upload.store.fsid: own, **{link.fsid: own for link in upload.links}}

    patch.setattr(PeerLink, "write", some)
    patch.setattr(Finisher, "_seal", believing)


def resend_not_recognised(patch):
    """The namespace forgets which operations it has done."""
    patch.setattr("thesan.core.namespace.state.remembered", lambda tree, op_id: None)
    patch.setattr("thesan.core.namespace.state.remember", lambda tree, op_id, result: None)


def new_id_for_each_sending(patch):
    """The client gives operations no id."""
    patch.setattr(Filesystem, "_op_cgi", lambda self, op_id="": "")


def second_replica_not_registered(patch):
    """The MGM registers the first replica only; the others are nobody's."""
    good = mgm_commits._good_replicas

    def first_only(message, grant, fsids):
        what, locations = good(message, grant, fsids)
        return what, locations[:1]

    def without_lost(**fields):
        return op(**{**fields, "lost": ()})

    op = mgm_commits.CommitFile
    patch.setattr(mgm_commits, "_good_replicas", first_only)
    patch.setattr(mgm_commits, "CommitFile", without_lost)


def late_messages_taken(patch):
    """The MGM takes what an FST sent on a connection that it has replaced since."""
    patch.setattr(FstLinks, "check", lambda self, node, connection: None)


def _long_cuts() -> RunSettings:
    """FSTs lose sight of the master for so long that they connect anew; much is removed at once."""
    dice = random.Random(3)
    plan, at = [], 1.0
    while at < 120.0:
        length = dice.choice((dice.uniform(3.0, 4.0), dice.uniform(6.0, 9.0)))
        targets = (MASTER, f"fst{dice.randint(1, 3)}")
        plan.append(Fault(at, length, FaultKind.CUT, targets))
        at += length + dice.uniform(4.0, 9.0)
    return RunSettings(seconds=125.0, pause_mean=0.1, churn=True, plan=tuple(plan))


def _resets() -> RunSettings:
    """Connections of clients to the MGM break in the middle of calls, again and again."""
    dice = random.Random(1)
    plan = [
        Fault(at / 5, 0.0, FaultKind.RESET, (f"client{at % 3 + 1}", "mgm1"), "", dice.randint(1, 3))
        for at in range(100)
    ]
    return RunSettings(plan=tuple(plan), shape=Shape(mgm_count=1))


def _deaths_of_both() -> RunSettings:
    """The MGM dies in the middle of something, and the FSTs that wait for it die, too."""
    dice = random.Random(2)
    plan = []
    for at in range(1, 29, 3):
        mgm = ("mgm1",)
        plan.append(Fault(at, 1.5, FaultKind.MGM_KILL, mgm, "", dice.randint(1, 20), 0.0))
        plan += [Fault(at + 1.0, 0.3, FaultKind.FST_KILL, (f"fst{n}",)) for n in (1, 2, 3)]
    return RunSettings(seconds=30.0, pause_mean=0.1, plan=tuple(plan), shape=Shape(mgm_count=1))


DRAWN = RunSettings(shape=Shape(mgm_count=1))
MUTANTS = {
    close_answered_before_commit: (1, DRAWN),
    answer_before_durable: (18, DRAWN),
    partial_files_kept: (18, DRAWN),
    data_not_synced: (4, DRAWN),
    marker_gone_too_early: (0, _deaths_of_both()),
    deletions_forgotten: (0, DRAWN),
    sums_ignore_order: (0, DRAWN),
    replica_misses_writes: (0, DRAWN),
    resend_not_recognised: (1, _resets()),
    new_id_for_each_sending: (0, _resets()),
    second_replica_not_registered: (0, DRAWN),
    late_messages_taken: (0, _long_cuts()),
}
"""Planted bug -> a seed that saw it, and what the runs are like."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_planted_bugs_are_found(mutant, hunt):
    hint, settings = MUTANTS[mutant]
    hunt(mutant, settings, hint)
