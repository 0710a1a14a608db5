"""`ns stat`, `version` and `config ls`."""

import errno


def test_figures_one_a_record(mgm):
    mgm.make_file("f", (1,))
    mgm.make_directory("d")
    records = mgm.do("ns stat").records
    assert all(list(one)[:2] == ["uid", "gid"] for one in records)
    values = {key: value for one in records for key, value in one.items()}
    assert values["ns.total.files"] == 1
    assert values["ns.total.directories"] == 2
    assert values["ns.uptime"] == 60
    assert values["ns.mgm.role"] == "leader"
    assert values["ns.mgm.followers"] == "mgm2:1094"
    assert values["ns.memory.resident"] == 1 << 27
    assert records[0] == {"uid": "all", "gid": "all", "ns.total.files": 1}
    assert records[-1]["cmd"] == "Stat"
    assert (records[-1]["total"], records[-1]["5s"]) == (7, 1.4)


def test_version(mgm):
    reply = mgm.do("version")
    assert reply.records[0]["eos.instance.name"] == "test"
    assert reply.text == "EOS_INSTANCE=test EOS_SERVER_VERSION=0.1.0"


def test_configuration_is_readable(mgm, refused, alice):
    mgm.grow(1)
    mgm.do("vid enable", prot="unix")
    records = mgm.do("config ls").records
    assert [(one["section"], one["key"]) for one in records] == [
        ("fs", "1"),
        ("space", "default"),
        ("mgm", "fsid.last"),
        ("vid", 'unix:"<pwd>":gid'),
        ("vid", 'unix:"<pwd>":uid'),
    ]
    assert records[0]["value"]["path"] == "/d/default/0"
    assert records[2]["value"] == "1"
    assert len(mgm.do("config ls", section="vid").records) == 2
    refused(errno.EINVAL, "section", mgm.do, "config ls", section="secrets")
    refused(errno.EPERM, "is for adm", mgm.do, "config ls", identity=alice)
