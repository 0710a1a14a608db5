"""`vid` verbs: only rules that parse are stored."""

import errno

import pytest

from thesan.core.authority.rules import parse_rules
from thesan.core.model.limits import VID_RULES_MAX
from thesan.core.namespace import ops, queries


def rules(mgm) -> dict[str, str]:
    return {one["key"]: one["value"] for one in mgm.do("vid ls").records}


def test_enable_and_disable(mgm, refused):
    mgm.do("vid enable", prot="unix")
    assert rules(mgm) == {'unix:"<pwd>":gid': "0", 'unix:"<pwd>":uid': "0"}
    assert parse_rules(queries.config(mgm.namespace, "vid")).enabled("unix")
    mgm.do("vid disable", prot="unix")
    assert rules(mgm) == {}
    refused(errno.EINVAL, "prot", mgm.do, "vid enable", prot="thk")


def test_maps(mgm):
    mgm.do("vid set", what="map", prot="unix", pattern="alice", uid=1000, gid="100")
    mgm.do("vid set", what="map", prot="host", pattern="node7", uid=7)
    assert rules(mgm) == {
        'host:"node7":uid': "7",
        'unix:"alice":gid': "100",
        'unix:"alice":uid': "1000",
    }
    mgm.do("vid rm", key='unix:"alice"')
    assert rules(mgm) == {'host:"node7":uid': "7"}


def test_memberships(mgm):
    mgm.do("vid set", what="membership", id=1000, uids="1001,1002", gids=[5], sudo=True)
    assert rules(mgm) == {"1000:gids": "5", "1000:root": "true", "1000:uids": "1001,1002"}
    mgm.do("vid set", what="membership", id=1000, uids="", sudo=False)
    assert rules(mgm) == {"1000:gids": "5"}


def test_geotags_and_gateways(mgm):
    mgm.do("vid set", what="geotag", prefix="10.0.", geotag="cern::513")
    mgm.do("vid add", host="gw*")
    mgm.do("vid add", host="nfs1", prot="unix")
    assert list(rules(mgm)) == [
        "geotag:10.0.",
        'tident:"*@gw*":gid',
        'tident:"*@gw*":uid',
        'tident:"unix@nfs1":gid',
        'tident:"unix@nfs1":uid',
    ]
    mgm.do("vid remove", host="gw*")
    assert len(rules(mgm)) == 3


def test_what_is_shown_can_be_set(mgm):
    mgm.do("vid enable", prot="unix")
    mgm.do("vid set", what="membership", id=1000, sudo=True, uids="1")
    shown = rules(mgm)
    for key in shown:
        mgm.do("vid rm", key=key)
    for key, value in shown.items():
        mgm.do("vid set", key=key, value=value)
    assert rules(mgm) == shown


@pytest.mark.parametrize(
    ("args", "number"),
    [
        ({"key": "rubbish", "value": "x"}, errno.EINVAL),
        ({"key": "99:root", "value": "true"}, errno.EPERM),
        ({"key": "0099:root", "value": "true"}, errno.EPERM),
        ({"key": "01000:root", "value": "true"}, errno.EINVAL),
        ({"key": 'unix:"a":uid', "value": "007"}, errno.EINVAL),
        ({"what": "membership", "id": 99, "sudo": True}, errno.EPERM),
        ({"what": "membership", "id": 5}, errno.EINVAL),
        ({"what": "map", "prot": "unix", "pattern": "a"}, errno.EINVAL),
        ({"what": "map", "prot": "krb5", "pattern": "a", "uid": 1}, errno.EINVAL),
        ({"what": "map", "prot": "unix", "pattern": 'a":uid', "uid": 1}, errno.EINVAL),
        ({"what": "geotag", "prefix": "10.", "geotag": "a::"}, errno.EINVAL),
        ({"what": "magic"}, errno.EINVAL),
        ({"key": "1:uids", "value": "2", "more": 1}, errno.EINVAL),
    ],
)
def test_what_is_refused(mgm, refused, args, number):
    refused(number, "", mgm.do, "vid set", **args)
    assert rules(mgm) == {}


def test_what_is_not_there_can_t_be_removed(mgm, refused):
    refused(errno.ENOENT, "no rule", mgm.do, "vid rm", key="1000:root")


def test_the_number_of_rules_is_bounded(mgm, refused):
    mgm.apply(*(ops.ConfigSet("vid", f"{uid}:root", b"true") for uid in range(100, VID_RULES_MAX)))
    mgm.do("vid set", what="membership", id=1, uids="2", gids="3", sudo=True)
    mgm.apply(*(ops.ConfigSet("vid", f"{uid}:uids", b"1") for uid in range(98)))
    refused(errno.ENOSPC, "already", mgm.do, "vid set", key="98:uids", value="1")
    mgm.do("vid set", key="1000:root", value="true")


def test_rules_are_for_root_and_seen_by_admins(mgm, refused, alice):
    refused(errno.EPERM, "is for root", mgm.do, "vid enable", identity=alice, prot="unix")
    refused(errno.EPERM, "is for adm", mgm.do, "vid ls", identity=alice)
