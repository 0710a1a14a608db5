"""A look around each second: which FSTs came and went, what can't be read now, the figures."""

import asyncio

from thesan.core.journal.quota import Admission, admission
from thesan.core.model.errors import Unavailable
from thesan.core.model.limits import FIGURES_SAMPLE_SECONDS, WATCH_SECONDS
from thesan.ports.engine import Engine, EngineStatus
from thesan.roles.mgm.admin_context import MasterContext
from thesan.roles.mgm.master import Master


class Watch:
    """What was seen at the last look."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._online: dict[str, bool] = {}
        self._boot: dict[int, str] = {}

    def look(self) -> None:
        """Compare with the last look, and log what is different."""
        self._look_at_nodes()
        self._look_at_filesystems()
        self._master.dark = frozenset(
            fs.fsid
            for fs in self._master.topology().filesystems.values()
            if fs.unreadable_because()
        )

    def _look_at_nodes(self) -> None:
        master, now_s = self._master, self._master.now_s()
        for state in master.view.nodes():
            is_online = state.online_at(now_s)
            was_online = self._online.get(state.node)
            self._online[state.node] = is_online
            if is_online and not was_online:
                master.world.log.info(
                    "FST is online", node=state.node, version=state.report.version
                )
            elif was_online and not is_online:
                master.world.log.warning(
                    "FST is silent", node=state.node, seconds=round(now_s - state.beat_s, 1)
                )

    def _look_at_filesystems(self) -> None:
        master = self._master
        for fs in master.view.filesystems():
            boot = fs.report.boot if fs.report is not None else "unknown"
            if self._boot.get(fs.fsid, "unknown") != boot:
                log = master.world.log
                note = log.info if boot in ("booted", "booting") else log.warning
                note(
                    "filesystem",
                    fsid=fs.fsid,
                    node=fs.record.node,
                    boot=boot,
                    reason=fs.report.errmsg if fs.report is not None else "",
                )
            self._boot[fs.fsid] = boot


def _look_at_room(master: Master, status: EngineStatus) -> None:
    """Take on less while the engine fills up; a broken one tells old figures."""
    if not status.healthy:
        return
    before, now = master.pipeline.admission, admission(status.used_bytes, status.quota_bytes)
    master.pipeline.admission = now
    if now is not before:
        note = master.world.log.info if now is Admission.ALL else master.world.log.warning
        note(
            "room in the journal engine",
            admits=now.name.lower(),
            used=status.used_bytes,
            quota=status.quota_bytes,
        )


async def watch(master: Master, context: MasterContext, engine: Engine) -> None:
    """For ever."""
    seen = Watch(master)
    figures_due_s = master.now_s()
    while True:
        seen.look()
        if master.now_s() >= figures_due_s:
            figures_due_s = master.now_s() + FIGURES_SAMPLE_SECONDS
            master.figures.sample(master.now_s())
        try:
            # Every time: what is said of the engine's members must be the same at every MGM soon.
            context.engine = status = await engine.status()
        except Unavailable:
            pass
        else:
            _look_at_room(master, status)
        await asyncio.sleep(WATCH_SECONDS)
