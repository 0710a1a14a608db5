"""Figures of filesystems and their sums, in the `-m` keys and order of EOS.

What thesan does not measure or do (drain progress, disk iops, health) has the value that EOS gives
when it does not know: exporters and EOS' own scripts read fields by name, some by position.
"""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any

from thesan.core.control.messages import FsReport
from thesan.roles.mgm.view import ClusterView, FsState

Record = dict[str, Any]
_NO_REPORT = FsReport(fsid=0, uuid="", path="", boot="down")


def report_of(fs: FsState) -> FsReport:
    """The last report, or one of an fs that is down."""
    return fs.report if fs.report is not None else _NO_REPORT


def split_node(node: str) -> tuple[str, int]:
    """(host, port) of a node name; port 0 when it has none."""
    host, _, port = node.rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else (node, 0)


def used_bytes(report: FsReport) -> int:
    """Used space of the disk, whoever uses it."""
    return max(0, report.capacity_bytes - report.free_bytes)


def filled_percent(report: FsReport) -> float:
    """Used share of the disk in percent; 0 when its size is not known."""
    if report.capacity_bytes <= 0:
        return 0.0
    return 100.0 * used_bytes(report) / report.capacity_bytes


def geotag_of(view: ClusterView, fs: FsState) -> str:
    """Forced geotag, else what the node says."""
    if fs.record.geotag:
        return fs.record.geotag
    node = view.node(fs.record.node)
    return node.report.geotag if node is not None else ""


def members_by(view: ClusterView, name_of: Callable[[FsState], str]) -> dict[str, list[FsState]]:
    """Filesystems by group, space..., each list by fsid."""
    members: dict[str, list[FsState]] = {}
    for fs in view.filesystems():
        members.setdefault(name_of(fs), []).append(fs)
    return members


def active_of(view: ClusterView, fs: FsState, now_s: float) -> str:
    """`online` when the node beats, is on and reports this filesystem; else `offline`."""
    node = view.node(fs.record.node)
    if node is None or not node.online_at(now_s) or node.record.status != "on":
        return "offline"
    return "online" if fs.report is not None else "offline"


def fs_record(view: ClusterView, fs: FsState, now_s: float) -> Record:
    """One filesystem, as `fs ls -m` (keys and order of EOS' GetFileSystemFormat)."""
    config, report = fs.record, report_of(fs)
    node = view.node(config.node)
    host, port = split_node(config.node)
    active = active_of(view, fs, now_s)
    boot = report.boot if active == "online" else "down"
    return {
        "host": host,
        "port": port,
        "id": fs.fsid,
        "uuid": config.uuid,
        "path": config.path,
        "schedgroup": config.group,
        "stat.alias.host": "",
        "stat.alias.port": "",
        "stat.boot": boot,
        "configstatus": config.configstatus,
        "headroom": config.headroom_bytes,
        "stat.errc": report.errc,
        "stat.errmsg": report.errmsg,
        "stat.disk.load": report.disk_load,
        "stat.disk.readratemb": report.read_mb_per_s,
        "stat.disk.writeratemb": report.write_mb_per_s,
        "stat.net.ethratemib": node.report.net_mb_per_s_max if node is not None else 0.0,
        "stat.net.inratemib": node.report.net_in_mb_per_s if node is not None else 0.0,
        "stat.net.outratemib": node.report.net_out_mb_per_s if node is not None else 0.0,
        "stat.ropen": report.open_read,
        "stat.wopen": report.open_write,
        "stat.statfs.freebytes": report.free_bytes,
        "stat.statfs.usedbytes": used_bytes(report),
        "stat.statfs.capacity": report.capacity_bytes,
        "stat.usedfiles": report.used_files,
        "stat.statfs.ffree": report.free_files,
        "stat.statfs.fused": max(0, report.files - report.free_files),
        "stat.statfs.files": report.files,
        "local.drain": "nodrain",
        "local.drain.progress": 0,
        "local.drain.files": 0,
        "local.drain.bytesleft": 0,
        "local.drain.failed": 0,
        "local.drain.timeleft": 0,
        "graceperiod": _number(config.settings.get("graceperiod")),
        "drainperiod": _number(config.settings.get("drainperiod")),
        "stat.active": active,
        "scaninterval": _number(config.settings.get("scaninterval")),
        "scan_rain_interval": _number(config.settings.get("scan_rain_interval")),
        "scanreruninterval": _number(config.settings.get("scanreruninterval")),
        "local.balancer.running": 0,
        "stat.disk.iops": 0,
        "stat.disk.bw": 0.0,
        "stat.geotag": geotag_of(view, fs),
        "stat.health": "N/A",
        "stat.health.redundancy_factor": 0,
        "stat.health.drives_failed": 0,
        "stat.health.drives_total": 0,
        "stat.health.indicator": "N/A",
        "usage": round(filled_percent(report), 2),
        "statuscomment": config.comment,
    }


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


class Sums:
    """Sums over the filesystems of a node, group or space."""

    def __init__(self, members: Sequence[FsState]) -> None:
        self._reports = [report_of(fs) for fs in members]
        self._writable = [report_of(fs) for fs in members if fs.record.configstatus == "rw"]
        self._count = len(members)

    def total(self, figure: Callable[[FsReport], float]) -> Any:
        """Sum of a figure."""
        return sum(figure(report) for report in self._reports)

    def total_rw(self, figure: Callable[[FsReport], float]) -> Any:
        """Sum over those with configstatus rw."""
        return sum(figure(report) for report in self._writable)

    @property
    def count(self) -> int:
        """Filesystems."""
        return self._count

    @property
    def count_rw(self) -> int:
        """Filesystems with configstatus rw."""
        return len(self._writable)

    def mean(self, figure: Callable[[FsReport], float]) -> float:
        """Average of a figure; 0 of nothing."""
        return float(self.total(figure)) / self._count if self._count else 0.0

    def sigma(self, figure: Callable[[FsReport], float]) -> float:
        """Standard deviation of a figure."""
        if not self._count:
            return 0.0
        mean = self.mean(figure)
        return sqrt(float(self.total(lambda report: (figure(report) - mean) ** 2)) / self._count)

    def deviation(self, figure: Callable[[FsReport], float]) -> float:
        """Largest distance of one from the average (EOS' maxdev)."""
        mean = self.mean(figure)
        return max((abs(figure(report) - mean) for report in self._reports), default=0.0)

    def io_part(self) -> Record:
        """Load and rates, as every `-m` view has them."""
        return {
            "avg.stat.disk.load": self.mean(lambda report: report.disk_load),
            "sig.stat.disk.load": self.sigma(lambda report: report.disk_load),
            "sum.stat.disk.readratemb": self.total(lambda report: report.read_mb_per_s),
            "sum.stat.disk.writeratemb": self.total(lambda report: report.write_mb_per_s),
        }

    def open_part(self) -> Record:
        """Open files."""
        return {
            "sum.stat.ropen": self.total(lambda report: report.open_read),
            "sum.stat.wopen": self.total(lambda report: report.open_write),
        }

    def free(self) -> int:
        """Free bytes."""
        return int(self.total(lambda report: report.free_bytes))

    def used(self) -> int:
        """Used bytes."""
        return int(self.total(used_bytes))

    def capacity(self) -> int:
        """Bytes in all."""
        return int(self.total(lambda report: report.capacity_bytes))


def net_part(view: ClusterView, nodes: Sequence[str]) -> Record:
    """Network figures summed over distinct nodes."""
    reports = [state.report for node in dict.fromkeys(nodes) if (state := view.node(node))]
    return {
        "sum.stat.net.ethratemib": sum(report.net_mb_per_s_max for report in reports),
        "sum.stat.net.inratemib": sum(report.net_in_mb_per_s for report in reports),
        "sum.stat.net.outratemib": sum(report.net_out_mb_per_s for report in reports),
    }


def common_geotag(geotags: Sequence[str]) -> str:
    """Longest common beginning of geotags, in whole tokens (EOS' avg=stat.geotag)."""
    lists = [geotag.split("::") for geotag in geotags if geotag]
    if not lists:
        return ""
    common: list[str] = []
    for tokens in zip(*lists, strict=False):
        if len(set(tokens)) > 1:
            break
        common.append(tokens[0])
    return "::".join(common)
