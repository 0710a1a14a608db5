"""Beats and configuration become a snapshot: what counts at once, what once a second."""

import pytest

from thesan.core.control.messages import Beat, FsConfig, FsReport, NodeReport
from thesan.core.model.errors import Corrupt
from thesan.core.model.limits import (
    BEAT_LATE_SECONDS,
    BEAT_SECONDS,
    BEAT_SILENCE_SECONDS_MAX,
    NODE_COUNT_MAX,
)
from thesan.core.placement.records import (
    FsRecord,
    GroupRecord,
    NodeRecord,
    SpaceRecord,
    encode_record,
)
from thesan.core.placement.topology import BootState, ConfigStatus
from thesan.roles.mgm.view import ClusterView

NODE = "fst1:1095"
GIB = 1 << 30


class Config:
    """The sections of a namespace's configuration, and the view that reads them."""

    def __init__(self) -> None:
        self.sections: dict[str, dict[str, bytes]] = {}
        self.reads: list[str] = []
        self.view = ClusterView(self.read, 100.0)

    def read(self, section: str) -> dict[str, bytes]:
        self.reads.append(section)
        return self.sections.get(section, {})

    def set(self, section: str, key: str, record: object) -> None:
        values = self.sections.setdefault(section, {})
        if record is None:
            values.pop(key, None)
        else:
            values[key] = encode_record(record)  # type: ignore[arg-type]
        self.view.config_changed(section)

    def add_fs(self, fsid: int, node: str = NODE, **fields: object) -> None:
        values = {
            "uuid": f"uuid-{fsid}",
            "node": node,
            "path": f"/data/{fsid}",
            "space": "default",
            "group": "default.0",
        }
        self.set("fs", str(fsid), FsRecord(**{**values, **fields}))  # type: ignore[arg-type]


def report(fsid: int, **fields: object) -> FsReport:
    values = {
        "fsid": fsid,
        "uuid": f"uuid-{fsid}",
        "path": f"/data/{fsid}",
        "boot": "booted",
        "capacity_bytes": 100 * GIB,
        "free_bytes": 50 * GIB,
        "files": 1000,
        "free_files": 900,
    }
    return FsReport(**{**values, **fields})  # type: ignore[arg-type]


def beat(*reports: FsReport, node: str = NODE, geotag: str = "") -> Beat:
    return Beat(
        node=node, boot_id="b1", report=NodeReport(geotag=geotag), filesystems=list(reports)
    )


@pytest.fixture
def config() -> Config:
    return Config()


def placeable(config: Config, now_s: float) -> list[int]:
    space = config.view.topology(now_s).spaces.get("default")
    return [fsid for group in space.groups for fsid in group.fsids] if space else []


def test_a_filesystem_is_used_from_its_first_report_on(config: Config):
    config.add_fs(1)
    assert placeable(config, 100.0) == []
    config.view.beat(beat(report(1)), 100.5)
    assert placeable(config, 100.5) == [1]
    fs = config.view.placement_of(1, 100.5)
    assert fs is not None
    assert (fs.boot, fs.online, fs.free_bytes) == (BootState.BOOTED, True, 50 * GIB)


def test_silence_ends_it_and_a_beat_brings_it_back(config: Config):
    config.add_fs(1)
    config.view.beat(beat(report(1)), 100.0)
    last = 100.0 + BEAT_SILENCE_SECONDS_MAX
    assert placeable(config, last) == [1]
    assert placeable(config, last + 0.01) == []
    config.view.beat(beat(report(1)), last + 0.02)
    assert placeable(config, last + 0.02) == [1]


def test_a_missed_beat_makes_it_suspect_and_the_next_clears_it(config: Config):
    config.add_fs(1)
    config.view.beat(beat(report(1)), 100.0)
    late = 100.0 + BEAT_SECONDS + BEAT_LATE_SECONDS
    assert not config.view.topology(late - 0.01).suspects
    assert config.view.topology(late + 0.01).suspects == ({1},)
    assert config.view.topology(late + 0.01).filesystems[1].missed == 1
    assert config.view.topology(late + 0.01 + BEAT_SECONDS).filesystems[1].missed == 2
    assert placeable(config, late + 0.01) == [1], "still there if nobody else is"
    config.view.beat(beat(report(1)), late + 2.0)
    assert not config.view.topology(late + 2.0).suspects


def test_a_beat_in_time_keeps_it(config: Config):
    config.add_fs(1)
    now_s = 100.0
    for _ in range(10):
        config.view.beat(beat(report(1)), now_s)
        now_s += BEAT_SILENCE_SECONDS_MAX - 0.1
        assert placeable(config, now_s) == [1]


@pytest.mark.parametrize(
    "changed",
    [
        {"boot": "opserror"},
        {"boot": "booting"},
        {"boot": "never heard of"},
        {"read_only": True},
        {"uuid": "other"},
        {"fsid": 2},
    ],
)
def test_bad_news_counts_at_once(config: Config, changed: dict[str, object]):
    config.add_fs(1)
    config.view.beat(beat(report(1)), 100.0)
    assert placeable(config, 100.0) == [1]
    config.view.beat(beat(report(**{"fsid": 1, "uuid": "uuid-1", **changed})), 100.01)
    assert placeable(config, 100.01) == []


def test_what_an_fst_does_not_report_any_more_is_not_used(config: Config):
    config.add_fs(1)
    config.add_fs(2)
    config.view.beat(beat(report(1), report(2)), 100.0)
    assert placeable(config, 100.0) == [1, 2]
    config.view.beat(beat(report(2)), 100.01)
    assert placeable(config, 100.01) == [2]


def test_nobody_reports_for_another_node(config: Config):
    config.add_fs(1)
    config.view.beat(beat(node=NODE), 100.0)
    config.view.beat(beat(report(1), node="fst2:1095"), 100.0)
    assert placeable(config, 100.0) == []


def test_free_space_is_at_most_a_second_old(config: Config):
    config.add_fs(1)
    config.view.beat(beat(report(1)), 100.0)
    first = config.view.topology(100.0)
    config.view.beat(beat(report(1, free_bytes=GIB)), 100.5)
    assert config.view.topology(100.5) is first, "not rebuilt for every figure"
    assert config.view.topology(101.0).filesystems[1].free_bytes == GIB


def test_configuration_counts_at_once(config: Config):
    config.add_fs(1)
    config.add_fs(2, node="fst2:1095")
    config.view.beat(beat(report(1)), 100.0)
    config.view.beat(beat(report(2), node="fst2:1095"), 100.0)
    assert placeable(config, 100.0) == [1, 2]
    config.add_fs(2, node="fst2:1095", configstatus="drain")
    assert placeable(config, 100.0) == [1]
    assert config.view.topology(100.0).filesystems[2].status is ConfigStatus.DRAIN
    config.set("node", NODE, NodeRecord(status="off"))
    assert placeable(config, 100.0) == []
    assert not config.view.node_active(NODE)
    config.set("node", NODE, None)
    assert placeable(config, 100.0) == [1]
    config.set("group", "default.0", GroupRecord(status="drain"))
    assert placeable(config, 100.0) == []
    config.set("group", "default.0", GroupRecord(status="on"))
    config.set("space", "default", SpaceRecord(status="off"))
    assert placeable(config, 100.0) == []
    config.set("space", "default", SpaceRecord())
    config.set("fs", "1", None)
    assert placeable(config, 100.0) == []
    assert config.view.filesystem(1) is None


def test_only_what_changed_is_read_again(config: Config):
    config.add_fs(1)
    config.view.topology(100.0)
    config.reads.clear()
    config.view.config_changed("vid")
    config.view.topology(102.0)
    assert config.reads == []
    config.set("group", "default.0", GroupRecord())
    config.view.topology(102.0)
    assert config.reads == ["group"]


def test_geotags_of_nodes_and_forced_ones(config: Config):
    config.add_fs(1)
    config.add_fs(2, geotag="forced")
    config.view.beat(beat(report(1), report(2), geotag="cern::513"), 100.0)
    filesystems = config.view.topology(100.0).filesystems
    assert (filesystems[1].geotag, filesystems[2].geotag) == ("cern::513", "forced")
    config.view.beat(beat(report(1), report(2), geotag="cern::9"), 100.01)
    assert config.view.topology(100.01).filesystems[1].geotag == "cern::9"


def test_warming_until_every_configured_fst_has_spoken(config: Config):
    assert not config.view.warming(100.0), "nobody to wait for"
    config.add_fs(1)
    config.add_fs(2, node="fst2:1095")
    config.set("node", "fst3:1095", NodeRecord(status="off"))
    assert config.view.warming(100.0)
    config.view.beat(beat(report(1)), 100.1)
    assert config.view.warming(100.2)
    config.view.beat(beat(report(2), node="fst2:1095"), 100.2)
    assert not config.view.warming(100.2)


def test_warming_ends_even_if_one_never_speaks(config: Config):
    config.add_fs(1)
    limit = 100.0 + BEAT_SILENCE_SECONDS_MAX + BEAT_SECONDS
    assert config.view.warming(limit)
    assert not config.view.warming(limit + 0.01)


def test_what_a_node_is_told_and_its_number(config: Config):
    empty = config.view.node_config(NODE)
    config.add_fs(2)
    config.add_fs(1, configstatus="ro", boot_request=3)
    config.add_fs(9, node="fst2:1095")
    number, filesystems = config.view.node_config(NODE)
    assert filesystems == [
        FsConfig(1, "uuid-1", "/data/1", "ro", FsRecord("", "", "", "", "").headroom_bytes, 3),
        FsConfig(2, "uuid-2", "/data/2", "rw", FsRecord("", "", "", "", "").headroom_bytes, 0),
    ]
    assert number != empty[0]
    assert number >= 0
    twin = Config()
    twin.sections = config.sections
    assert twin.view.node_config(NODE)[0] == number, "the same on every MGM"
    config.add_fs(9, node="fst2:1095", configstatus="off")
    assert config.view.node_config(NODE)[0] == number, "a change elsewhere is none here"
    config.add_fs(1, configstatus="rw", boot_request=3)
    assert config.view.node_config(NODE)[0] != number


def test_nodes_that_are_configured_or_speak(config: Config):
    config.add_fs(1)
    config.set("node", "fst3:1095", NodeRecord())
    config.view.beat(beat(node="fst2:1095"), 100.0)
    assert [(one.node, one.configured) for one in config.view.nodes()] == [
        (NODE, True),
        ("fst2:1095", False),
        ("fst3:1095", True),
    ]
    config.set("node", "fst3:1095", None)
    assert config.view.node("fst3:1095") is None
    node = config.view.node("fst2:1095")
    assert node is not None
    assert node.online_at(100.0 + BEAT_SILENCE_SECONDS_MAX)
    assert not node.online_at(100.1 + BEAT_SILENCE_SECONDS_MAX)


def test_unconfigured_nodes_are_bounded(config: Config):
    view = config.view
    for number in range(NODE_COUNT_MAX + 10):
        view.beat(beat(node=f"n{number}:1"), 100.0)
    assert len(view.nodes()) == NODE_COUNT_MAX


def test_groups_and_spaces_with_and_without_records(config: Config):
    config.add_fs(1, group="default.10")
    config.add_fs(2, group="default.2")
    config.set("group", "spare.0", GroupRecord(status="off"))
    config.set("space", "spare", SpaceRecord(group_size=3))
    assert list(config.view.groups()) == ["default.2", "default.10", "spare.0"]
    assert config.view.groups()["spare.0"].status == "off"
    assert {name: one.group_size for name, one in config.view.spaces().items()} == {
        "default": 0,
        "spare": 3,
    }
    assert "spare" in config.view.topology(100.0).spaces


def test_a_disk_that_moves_forgets_its_old_report(config: Config):
    config.add_fs(1)
    config.view.beat(beat(report(1)), 100.0)
    config.add_fs(1, configstatus="ro")
    assert config.view.filesystems()[0].report is not None, "the same disk at the same node"
    config.add_fs(1, node="fst2:1095")
    assert config.view.filesystems()[0].report is None
    assert config.view.filesystems_of(NODE) == []
    assert [fs.fsid for fs in config.view.filesystems_of("fst2:1095")] == [1]


def test_a_record_that_can_t_be_read_is_corrupt(config: Config):
    config.sections["fs"] = {"1": b"\xc1"}
    with pytest.raises(Corrupt):
        config.view.filesystems()
