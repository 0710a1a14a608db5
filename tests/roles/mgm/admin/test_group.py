"""`group` verbs."""

import errno


def test_groups_in_eos_keys(mgm):
    mgm.do("fs add", uuid="a", node="fst1:1095", path="/a", space="default.10")
    mgm.do("fs add", uuid="b", node="fst1:1095", path="/b", space="default.2")
    mgm.do("fs add", uuid="c", node="fst2:1095", path="/c", space="default.2")
    mgm.beat("fst1:1095", mgm.report(1), mgm.report(2), geotag="cern::a")
    mgm.beat("fst2:1095", mgm.report(3, free_bytes=100 << 30), geotag="cern::b")
    records = mgm.do("group ls").records
    assert [one["name"] for one in records] == ["default.2", "default.10"]
    first = records[0]
    assert list(first)[:4] == ["type", "cfg.status", "name", "nofs"]
    assert first["nofs"] == 2
    assert first["avg.stat.statfs.filled"] == 25.0
    assert first["dev.stat.statfs.filled"] == 25.0
    assert first["sig.stat.statfs.filled"] == 25.0
    assert first["sum.stat.net.ethratemib"] == 238.0, "each node once"
    assert first["avg.stat.geotag"] == "cern"
    assert len(mgm.do("group ls", match="default").records) == 2
    assert len(mgm.do("group ls", match="default.2").records) == 1


def test_a_group_is_switched(mgm, refused):
    mgm.grow(2)
    for status in ("drain", "off"):
        mgm.do("group set", group="default.0", status=status)
        assert mgm.do("group ls").records[0]["cfg.status"] == status
        assert not mgm.view.topology(mgm.now_s).spaces["default"].groups
    mgm.do("group set", group="default.0", status="on")
    assert mgm.view.topology(mgm.now_s).spaces["default"].groups
    refused(errno.ENOENT, "no group", mgm.do, "group set", group="x.0", status="on")


def test_only_an_empty_group_goes(mgm, refused):
    mgm.grow(1)
    refused(errno.EBUSY, "filesystems 1", mgm.do, "group rm", group="default.0")
    mgm.do("group set", group="default.0", status="off")
    mgm.do("fs mv", fs="1", target="default.1")
    assert len(mgm.do("group ls").records) == 2
    mgm.do("group rm", group="default.0")
    assert [one["name"] for one in mgm.do("group ls").records] == ["default.1"]
