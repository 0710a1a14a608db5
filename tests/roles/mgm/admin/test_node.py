"""`node` verbs."""

import errno

import msgspec
import pytest

from thesan.ports.engine import EngineMember


def test_nodes_in_eos_keys(mgm):
    mgm.grow(3)
    mgm.now_s += 2
    mgm.beat("fst3:1095", geotag="cern")
    records = [one for one in mgm.do("node ls").records if one["type"] == "nodesview"]
    assert [one["hostport"] for one in records] == ["fst1:1095", "fst2:1095", "fst3:1095"]
    first = records[0]
    assert list(first)[:8] == [
        "type",
        "hostport",
        "status",
        "cfg.status",
        "heartbeatdelta",
        "nofs",
        "avg.stat.disk.load",
        "sig.stat.disk.load",
    ]
    assert first["type"] == "nodesview"
    assert first["heartbeatdelta"] == 2
    assert first["nofs"] == 2
    assert first["sum.stat.statfs.capacity"] == 200 << 30
    assert first["cfg.stat.sys.uptime"] == 10
    assert records[2]["cfg.stat.geotag"] == "cern"
    assert [one["hostport"] for one in mgm.do("node ls", match="fst2").records] == ["fst2:1095"]


def test_silence_shows(mgm):
    mgm.grow(1)
    mgm.do("fs add", uuid="u2", node="never:1095", path="/x", space="default")
    mgm.now_s += 100_000
    deltas = {
        one["hostport"]: (one["status"], one["heartbeatdelta"])
        for one in mgm.do("node ls").records
        if one["type"] == "nodesview"
    }
    assert deltas == {"fst1:1095": ("offline", "~"), "never:1095": ("offline", "~")}
    mgm.beat("fst1:1095")
    mgm.now_s += 5
    assert mgm.do("node ls", match="fst1").records[0]["heartbeatdelta"] == 5
    assert mgm.do("node ls", match="fst1").records[0]["status"] == "offline"


def test_a_node_is_switched(mgm):
    mgm.grow(2)
    mgm.do("node set", node="fst1:1095", status="off")
    assert not mgm.view.node_active("fst1:1095")
    assert mgm.do("node ls").records[0]["cfg.status"] == "off"
    assert mgm.do("fs ls", match="fst1").records[0]["stat.active"] == "offline"
    mgm.do("node set", node="fst1:1095", status="on")
    assert mgm.do("fs ls", match="fst1").records[0]["stat.active"] == "online"


@pytest.mark.parametrize("status", ["on", "off"])
@pytest.mark.parametrize("name", ["fst1:1096", "fts1:1095", "new", "a b:1", "n" * 300 + ":1"])
def test_a_mistyped_address_is_no_new_node(mgm, refused, name, status):
    mgm.grow(1)
    refused(errno.ENOENT, "no node", mgm.do, "node set", node=name, status=status)
    assert [one.node for one in mgm.view.nodes()] == ["fst1:1095"]


def test_a_host_with_one_fst_is_name_enough(mgm, refused):
    mgm.grow(1)
    mgm.do("node set", node="fst1", status="off")
    assert not mgm.view.node_active("fst1:1095")
    mgm.beat("fst1:1096")
    refused(errno.EINVAL, "several FSTs", mgm.do, "node set", node="fst1", status="on")


def test_status_of_one(mgm, refused):
    mgm.grow(3)
    mgm.do("node config", node="fst1:1095", key="comment", value="new mainboard")
    (record,) = mgm.do("node status", node="fst1").records
    assert record["fsids"] == [1, 3]
    assert record["cfg.comment"] == "new mainboard"
    assert record["boot.id"] == "b"
    refused(errno.ENOENT, "no node", mgm.do, "node status", node="nowhere")
    mgm.beat("fst1:1096")
    refused(errno.EINVAL, "several FSTs", mgm.do, "node status", node="fst1")
    refused(errno.EINVAL, "key", mgm.do, "node config", node="fst2", key="colour", value="red")
    refused(
        errno.E2BIG, "longer", mgm.do, "node config", node="fst2", key="comment", value="x" * 2000
    )


def test_only_a_silent_node_without_filesystems_goes(mgm, refused):
    mgm.grow(1)
    refused(errno.EBUSY, "filesystems 1", mgm.do, "node rm", node="fst1:1095")
    mgm.beat("fst9:1095")
    mgm.do("node set", node="fst9:1095", status="on")
    refused(errno.EBUSY, "online", mgm.do, "node rm", node="fst9:1095")
    mgm.now_s += 10
    mgm.do("node rm", node="fst9:1095")
    assert [one.configured for one in mgm.view.nodes()] == [True, False]


def test_members_of_the_engine_are_listed(mgm, monkeypatch):
    members = (EngineMember("h1:2379", "leader", "3.4.23"), EngineMember("h2:2379", "down"))
    figures = msgspec.structs.replace(mgm.figures(), engine_members=members)
    monkeypatch.setattr(mgm, "figures", lambda: figures)
    rows = [one for one in mgm.do("node ls").records if one["type"] == "engine"]
    assert [(one["hostport"], one["status"], one["cfg.status"]) for one in rows] == [
        ("memory", "online", "on"),
        ("h1:2379", "online", "leader"),
        ("h2:2379", "offline", "down"),
    ]
