"""Spelling of the identity rules, and what is none."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.authority.rules import (
    NO_RULES,
    GeotagRule,
    MemberRule,
    NameRule,
    parse_rule,
    parse_rules,
)
from thesan.core.model.errors import Corrupt, OperationError
from thesan.core.model.limits import VID_RULE_BYTES_MAX


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ('unix:"<pwd>":uid', "0", NameRule("unix", "<pwd>", "uid", 0)),
        ('unix:"alice":gid', "100", NameRule("unix", "alice", "gid", 100)),
        ('unix:"root@10.0.*":uid', "0", NameRule("unix", "root@10.0.*", "uid", 0)),
        ('tident:"*@gw*":uid', "0", NameRule("tident", "*@gw*", "uid", 0)),
        ('tident:"unix@::1":uid', "0", NameRule("tident", "unix@::1", "uid", 0)),
        ('host:"node7":uid', "1000", NameRule("host", "node7", "uid", 1000)),
        ('thk:"fst1:1095":uid', "2", NameRule("thk", "fst1:1095", "uid", 2)),
        ("1000:uids", "1001,1002", MemberRule(1000, "uids", (1001, 1002))),
        ("1000:gids", "", MemberRule(1000, "gids", ())),
        ("1000:root", "true", MemberRule(1000, "root", ())),
        ("geotag:10.0.", "cern::513", GeotagRule("10.0.", "cern::513")),
        ("geotag:fe80::", "a", GeotagRule("fe80::", "a")),
    ],
)
def test_the_spellings(key, value, rule):
    assert parse_rule(key, value) == rule
    parse_rules({key: value.encode()})


@pytest.mark.parametrize(
    ("key", "value", "number"),
    [
        ("", "", errno.EINVAL),
        ('krb5:"<pwd>":uid', "0", errno.EINVAL),
        ("unix:alice:uid", "0", errno.EINVAL),
        ('unix:"":uid', "0", errno.EINVAL),
        ('unix:"a b":uid', "0", errno.EINVAL),
        ('unix:"a":uid ', "0", errno.EINVAL),
        ('unix:"a":uid\n', "0", errno.EINVAL),
        ('unix:"a":uid', "", errno.EINVAL),
        ('unix:"a":uid', "-1", errno.EINVAL),
        ('unix:"a":uid', "1²", errno.EINVAL),
        ('unix:"a":uid', "4294967295", errno.EINVAL),
        ('tident:"gw":uid', "0", errno.EINVAL),
        ('tident:"thk@gw":uid', "0", errno.EINVAL),
        ('host:"a@b":uid', "1", errno.EINVAL),
        ('thk:"<pwd>":uid', "1", errno.EINVAL),
        ("99:root", "true", errno.EPERM),
        ("0099:root", "true", errno.EPERM),
        ("1000:root", "yes", errno.EINVAL),
        ("1000:uids", "1,x", errno.EINVAL),
        ("geotag:host", "a", errno.EINVAL),
        ("geotag:10.", "a::", errno.EINVAL),
        ("geotag:10.", "muchtoolong", errno.EINVAL),
        ("geotag:10.", "::".join(["abcdefgh"] * 9), errno.EINVAL),
        ("1000:uids", "1," * VID_RULE_BYTES_MAX, errno.E2BIG),
    ],
)
def test_what_is_no_rule(key, value, number):
    with pytest.raises(OperationError) as caught:
        parse_rule(key, value)
    assert caught.value.errno == number
    with pytest.raises(Corrupt):
        parse_rules({key: value.encode()})


def test_bytes_that_are_no_text_are_corrupt():
    with pytest.raises(Corrupt):
        parse_rules({"1000:uids": b"\xff"})


def test_enabled():
    assert parse_rules({'unix:"<pwd>":uid': b"0"}).enabled("unix")
    assert not NO_RULES.enabled("unix")
    assert not parse_rules({'unix:"alice":uid': b"1"}).enabled("unix")


@given(st.text(max_size=60), st.text(max_size=40))
def test_any_text_is_a_rule_or_an_operation_error(key, value):
    try:
        rule = parse_rule(key, value)
    except OperationError:
        return
    assert isinstance(rule, NameRule | MemberRule | GeotagRule)
