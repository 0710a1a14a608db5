"""The cluster view: configuration from the journal joined with what the FSTs say in their beats.

Every MGM has one, fed by the beats that FSTs send to all MGMs, so a new master needs no warm-up.
Deterministic: `now_s` (monotonic seconds, `loop.time()`) is passed in. Beats are not journaled;
after a restart the view is blind until each FST has beaten once, which `warming` tells.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec

from thesan.core.control.messages import Beat, FsConfig, FsReport, NodeReport
from thesan.core.model.ids import Fsid, NodeId
from thesan.core.model.limits import (
    BEAT_LATE_SECONDS,
    BEAT_SECONDS,
    BEAT_SILENCE_SECONDS_MAX,
    NODE_COUNT_MAX,
    TOPOLOGY_REFRESH_SECONDS,
)
from thesan.core.placement.records import (
    FS_SECTION,
    GROUP_SECTION,
    NODE_SECTION,
    SPACE_SECTION,
    FsRecord,
    GroupRecord,
    NodeRecord,
    Record,
    SpaceRecord,
    decode_record,
)
from thesan.core.placement.topology import (
    BOOT_STATE_OF,
    CONFIG_STATUS_OF,
    BootState,
    ConfigStatus,
    Filesystem,
    Topology,
    build,
    group_key,
)

SECTIONS: Final = (FS_SECTION, NODE_SECTION, GROUP_SECTION, SPACE_SECTION)
"""Sections of the configuration that the view is made from."""
_LIMITS: Final = (
    *(BEAT_LATE_SECONDS + BEAT_SECONDS * count for count in (1, 2, 3)),
    BEAT_SILENCE_SECONDS_MAX,
)
"""Silences at which an FST counts for less."""
_encoder: Final = msgspec.msgpack.Encoder()
_R = TypeVar("_R", bound=Record)


class NodeState(msgspec.Struct):
    """One FST: its record, and its last beat if it has sent one."""

    node: NodeId
    record: NodeRecord
    configured: bool = False
    """It has a record of its own, or a filesystem."""
    beat_s: float = -1.0
    """Monotonic time of the last beat; -1 for none since this MGM started."""
    boot_id: str = ""
    epoch: int = 0
    report: NodeReport = msgspec.field(default_factory=NodeReport)

    def online_at(self, now_s: float) -> bool:
        """True while it is not silent for longer than BEAT_SILENCE_SECONDS_MAX."""
        return self.beat_s >= 0.0 and now_s - self.beat_s <= BEAT_SILENCE_SECONDS_MAX

    def missed_at(self, now_s: float) -> int:
        """Beats that are overdue; the first may be just late."""
        return max(0, int((now_s - self.beat_s - BEAT_LATE_SECONDS) / BEAT_SECONDS))


class FsState(msgspec.Struct):
    """One configured filesystem and the last report about it."""

    fsid: Fsid
    record: FsRecord
    report: FsReport | None = None
    """None until its own node has reported it with the right uuid."""


class ClusterView:
    """`config` gives the values of a section: `queries.config` bound to the namespace."""

    def __init__(self, config: Callable[[str], Mapping[str, bytes]], now_s: float) -> None:
        self._config = config
        self._started_s = now_s
        self._stale_sections = dict.fromkeys(SECTIONS)
        self._nodes: dict[str, NodeState] = {}
        self._filesystems: dict[Fsid, FsState] = {}
        self._fs_of_node: dict[str, list[FsState]] = {}
        self._groups: dict[str, GroupRecord] = {}
        self._spaces: dict[str, SpaceRecord] = {}
        self._node_configs: dict[str, tuple[int, list[FsConfig]]] = {}
        self._topology: Topology = build(())
        self._topology_until_s = -1.0

    def config_changed(self, section: str) -> None:
        """A ConfigSet op of that section was applied."""
        if section in SECTIONS:
            self._stale_sections[section] = None
            self._topology_until_s = -1.0

    def beat(self, beat: Beat, now_s: float) -> None:
        """Take in a beat of an authenticated FST; reports about foreign filesystems are ignored."""
        self._refresh()
        state = self._nodes.get(beat.node)
        if state is None:
            if len(self._nodes) >= NODE_COUNT_MAX:
                return
            state = self._nodes[beat.node] = NodeState(NodeId(beat.node), NodeRecord())
        if state.missed_at(now_s) or state.report.geotag != beat.report.geotag:
            self._topology_until_s = -1.0
        state.beat_s = now_s
        state.boot_id = beat.boot_id
        state.epoch = beat.epoch
        state.report = beat.report
        reports = {report.fsid: report for report in beat.filesystems}
        for fs in self._fs_of_node.get(beat.node, ()):
            report = reports.get(fs.fsid)
            if report is not None and report.uuid != fs.record.uuid:
                report = None
            old, fs.report = fs.report, report
            if _state_of(old) != _state_of(report):
                self._topology_until_s = -1.0

    def topology(self, now_s: float) -> Topology:
        """The snapshot to place with: state is current, free space up to a second old."""
        if now_s < self._topology_until_s:
            return self._topology
        self._refresh()
        self._topology = build(
            [self._placement_of(fs, now_s) for fs in self._filesystems.values()], self._spaces
        )
        until = now_s + TOPOLOGY_REFRESH_SECONDS
        for state in self._nodes.values():
            # One tick after a limit: the state is the old one at the limit itself.
            for limit_s in _LIMITS:
                due_s = state.beat_s + limit_s + 0.001
                if state.beat_s >= 0.0 and due_s > now_s:
                    until = min(until, due_s)
        self._topology_until_s = until
        return self._topology

    def warming(self, now_s: float) -> bool:
        """True while this MGM is young and some configured node that is on has not beaten yet.

        Then "no filesystem" may only mean that nobody has spoken yet: answer wait, not an error.
        """
        if now_s - self._started_s > BEAT_SILENCE_SECONDS_MAX + BEAT_SECONDS:
            return False
        self._refresh()
        return any(
            state.configured and state.record.status == "on" and state.beat_s < 0.0
            for state in self._nodes.values()
        )

    def node_config(self, node: str) -> tuple[int, list[FsConfig]]:
        """(config_seq, filesystems) of a node. The number is made from the content, so that it is
        the same on every MGM and after a restart."""
        self._refresh()
        found = self._node_configs.get(node)
        if found is None:
            configs = [
                FsConfig(
                    fsid=fs.fsid,
                    uuid=fs.record.uuid,
                    path=fs.record.path,
                    configstatus=fs.record.configstatus,
                    headroom_bytes=fs.record.headroom_bytes,
                    boot_request=fs.record.boot_request,
                )
                for fs in self._fs_of_node.get(node, ())
            ]
            digest = hashlib.blake2b(_encoder.encode(configs), digest_size=8).digest()
            found = int.from_bytes(digest, "big") >> 1, configs
            if len(self._node_configs) < NODE_COUNT_MAX:
                self._node_configs[node] = found
        return found

    def node_active(self, node: str) -> bool:
        """`node set on|off`; a node without record is on."""
        self._refresh()
        state = self._nodes.get(node)
        return state is None or state.record.status == "on"

    def filesystems(self) -> list[FsState]:
        """All, by fsid."""
        self._refresh()
        return [self._filesystems[fsid] for fsid in sorted(self._filesystems)]

    def filesystems_of(self, node: str) -> list[FsState]:
        """Those of one node, by fsid."""
        self._refresh()
        return list(self._fs_of_node.get(node, ()))

    def filesystem(self, fsid: int) -> FsState | None:
        """One."""
        self._refresh()
        return self._filesystems.get(Fsid(fsid))

    def nodes(self) -> list[NodeState]:
        """Configured nodes and those that have beaten, by name."""
        self._refresh()
        return [self._nodes[node] for node in sorted(self._nodes)]

    def node(self, node: str) -> NodeState | None:
        """One."""
        self._refresh()
        return self._nodes.get(node)

    def groups(self) -> dict[str, GroupRecord]:
        """Groups that have a record or a filesystem, `default.2` before `default.10`."""
        self._refresh()
        names = dict.fromkeys(self._groups)
        names.update(dict.fromkeys(fs.record.group for fs in self._filesystems.values()))
        return {
            name: self._groups.get(name, GroupRecord()) for name in sorted(names, key=group_key)
        }

    def spaces(self) -> dict[str, SpaceRecord]:
        """Spaces that have a record or a filesystem, by name."""
        self._refresh()
        names = dict.fromkeys(self._spaces)
        names.update(dict.fromkeys(fs.record.space for fs in self._filesystems.values()))
        return {name: self._spaces.get(name, SpaceRecord()) for name in sorted(names)}

    def placement_of(self, fsid: int, now_s: float) -> Filesystem | None:
        """One filesystem as placement sees it, from live figures."""
        fs = self.filesystem(fsid)
        return self._placement_of(fs, now_s) if fs is not None else None

    def _refresh(self) -> None:
        """Decode the sections that changed."""
        if not self._stale_sections:
            return
        stale = list(self._stale_sections)
        self._stale_sections.clear()
        if SPACE_SECTION in stale:
            self._spaces = _decode_all(SpaceRecord, self._config(SPACE_SECTION))
        if GROUP_SECTION in stale:
            self._groups = _decode_all(GroupRecord, self._config(GROUP_SECTION))
        if FS_SECTION in stale:
            self._refresh_filesystems()
        if NODE_SECTION in stale or FS_SECTION in stale:
            self._refresh_nodes()

    def _refresh_filesystems(self) -> None:
        self._node_configs.clear()
        old = self._filesystems
        self._filesystems = {}
        for key, record in _decode_all(FsRecord, self._config(FS_SECTION)).items():
            state = FsState(Fsid(int(key)), record)
            before = old.get(state.fsid)
            if before is not None and (before.record.uuid, before.record.node) == (
                record.uuid,
                record.node,
            ):
                state.report = before.report
            self._filesystems[state.fsid] = state
        self._fs_of_node = {}
        for fsid in sorted(self._filesystems):
            state = self._filesystems[fsid]
            self._fs_of_node.setdefault(state.record.node, []).append(state)

    def _refresh_nodes(self) -> None:
        records = _decode_all(NodeRecord, self._config(NODE_SECTION))
        configured = dict.fromkeys(records)
        configured.update(dict.fromkeys(fs.record.node for fs in self._filesystems.values()))
        for node in configured:
            if node not in self._nodes:
                self._nodes[node] = NodeState(NodeId(node), NodeRecord())
        for node, state in list(self._nodes.items()):
            state.record = records.get(node, NodeRecord())
            state.configured = node in configured
            if not state.configured and state.beat_s < 0.0:
                del self._nodes[node]

    def _placement_of(self, fs: FsState, now_s: float) -> Filesystem:
        record, report = fs.record, fs.report
        node = self._nodes.get(record.node)
        space = self._spaces.get(record.space)
        group = self._groups.get(record.group)
        return Filesystem(
            fsid=fs.fsid,
            node=NodeId(record.node),
            path=record.path,
            space=record.space,
            group=record.group,
            status=CONFIG_STATUS_OF.get(record.configstatus, ConfigStatus.OFF),
            boot=BOOT_STATE_OF.get(report.boot, BootState.DOWN) if report else BootState.DOWN,
            online=node is not None and node.online_at(now_s),
            missed=node.missed_at(now_s) if node is not None else 0,
            node_on=node is None or node.record.status == "on",
            group_on=group is None or group.status == "on",
            space_on=space is None or space.status == "on",
            read_only=report.read_only if report else False,
            geotag=record.geotag or (node.report.geotag if node else ""),
            capacity_bytes=report.capacity_bytes if report else 0,
            free_bytes=report.free_bytes if report else 0,
            headroom_bytes=record.headroom_bytes,
            free_files=report.free_files if report else 0,
            load=report.disk_load if report else 0.0,
        )


def _state_of(report: FsReport | None) -> tuple[str, bool] | None:
    """What placement must know at once."""
    return (report.boot, report.read_only) if report is not None else None


def _decode_all(kind: type[_R], values: Mapping[str, bytes]) -> dict[str, _R]:
    return {key: decode_record(kind, value) for key, value in values.items()}
