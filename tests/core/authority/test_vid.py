"""Identity mapping: the most specific rule, and nobody root by accident."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.authority.rules import NO_RULES, VidRules, parse_rules
from thesan.core.authority.vid import evaluate, geotag_of, switch_role, unix_user
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import NOBODY, ROOT, Identity

ALICE = (1000, 100, (100, 27))
ROOT_ACCOUNT = (0, 0, (0,))


def rules(**values: str) -> VidRules:
    return parse_rules({key: value.encode() for key, value in values.items()})


def ids(identity: Identity) -> tuple[int, int]:
    return identity.uid, identity.gid


ENABLED = {'unix:"<pwd>":uid': "0", 'unix:"<pwd>":gid': "0"}


def test_without_rules_everybody_is_nobody():
    for prot in ("none", "unix", "host"):
        identity = evaluate(NO_RULES, prot, "alice", "h", ALICE)
        assert (*ids(identity), identity.name, identity.prot) == (99, 99, "nobody", prot)
        assert not identity.sudoer


def test_enabled_unix_maps_to_the_account():
    identity = evaluate(rules(**ENABLED), "unix", "alice", "H1", ALICE)
    assert ids(identity) == (1000, 100)
    assert identity.gids == (100, 27)
    assert identity.name == "alice"
    assert identity.host == "h1"


def test_who_has_no_account_stays_nobody():
    assert ids(evaluate(rules(**ENABLED), "unix", "stranger", "h", None)) == (99, 99)


def test_the_password_database_makes_nobody_root():
    assert ids(evaluate(rules(**ENABLED), "unix", "root", "h", ROOT_ACCOUNT)) == (99, 99)
    gateway = rules(**{'tident:"*@h":uid': "0", 'tident:"*@h":gid': "0"})
    assert ids(evaluate(gateway, "unix", "root", "h", ROOT_ACCOUNT)) == (99, 99)
    assert ids(evaluate(gateway, "host", "root", "h", ROOT_ACCOUNT)) == (99, 99)


def test_a_rule_that_names_root_does():
    mapped = rules(**ENABLED, **{'unix:"root@10.0.0.*":uid': "0", 'unix:"root@10.0.0.*":gid': "0"})
    identity = evaluate(mapped, "unix", "root", "10.0.0.7", ROOT_ACCOUNT)
    assert identity.is_root
    assert identity.sudoer
    assert ids(evaluate(mapped, "unix", "root", "10.0.1.7", ROOT_ACCOUNT)) == (99, 99)
    # The dots of the pattern are dots.
    assert ids(evaluate(mapped, "unix", "root", "10x0.0.7", ROOT_ACCOUNT)) == (99, 99)


def test_squashing():
    squash = rules(**{'unix:"<pwd>":uid': "500", 'unix:"<pwd>":gid': "50"})
    identity = evaluate(squash, "unix", "alice", "h", ALICE)
    assert ids(identity) == (500, 50)
    assert identity.gids == (50,), "alice's own groups stay behind"


def test_a_rule_without_group_takes_the_account_s_own():
    mapped = rules(**{'unix:"alice":uid': "1000"})
    assert evaluate(mapped, "unix", "alice", "h", ALICE).gids == (100, 27)
    other = evaluate(mapped, "unix", "alice", "h", (7, 7, (7,)))
    assert (*ids(other), other.gids) == (1000, 99, (99,))


def test_the_most_specific_rule_wins():
    values = {
        'unix:"alice@h1":uid': "1",
        'unix:"alice":uid': "2",
        'tident:"unix@h*":uid': "3",
        'tident:"*@h*":uid': "4",
        'unix:"<pwd>":uid': "5",
    }
    order = []
    for key in list(values):
        order.append(evaluate(rules(**values), "unix", "alice", "h1", ALICE).uid)
        del values[key]
    assert order == [1, 2, 3, 4, 5]
    assert evaluate(rules(**values), "unix", "alice", "h1", ALICE).uid == 99


def test_host_authentication_trusts_the_host():
    mapped = rules(**{'host:"node7":uid': "1000", 'host:"node7":gid': "100"})
    assert ids(evaluate(mapped, "host", "whoever", "Node7", None)) == (1000, 100)
    assert ids(evaluate(mapped, "host", "whoever", "node8", None)) == (99, 99)
    assert ids(evaluate(mapped, "unix", "whoever", "node7", None)) == (99, 99)


def test_a_gateway_says_who_calls():
    gateway = rules(**{'tident:"host@gw*":uid': "0", 'tident:"host@gw*":gid': "0"})
    assert ids(evaluate(gateway, "host", "alice", "gw1", ALICE)) == (1000, 100)
    assert ids(evaluate(gateway, "unix", "alice", "gw1", ALICE)) == (99, 99)


def test_nobody_can_be_called_like_the_pattern():
    assert ids(evaluate(rules(**ENABLED), "unix", "<pwd>", "h", None)) == (99, 99)
    for number in ("0", "7"):
        squash = rules(**{'host:"<pwd>":uid': number})
        expected = 7 if number == "7" else 1000
        assert evaluate(squash, "host", "alice", "<pwd>", ALICE).uid == expected
        assert evaluate(squash, "host", "root", "<pwd>", ROOT_ACCOUNT).uid in (7, 99)


@pytest.mark.parametrize("role", ["fst", "mgm", "front", "mount"])
def test_daemons_are_uid_2(role):
    identity = evaluate(NO_RULES, "thk", "fst1:1095", "h", None, role)
    assert (*ids(identity), identity.daemon, identity.sudoer) == (2, 2, role, False)


def test_a_daemon_with_a_rule_keeps_its_role():
    mapped = rules(**{'thk:"fst1:1095":uid': "77"})
    identity = evaluate(mapped, "thk", "fst1:1095", "h", None, "fst")
    assert (*ids(identity), identity.daemon) == (77, 2, "fst")


def test_gateways_say_nothing_about_daemons():
    gateway = rules(**{'tident:"*@*":uid': "7", **ENABLED})
    assert ids(evaluate(gateway, "thk", "fst1:1095", "h", None, "fst")) == (2, 2)


def test_who_holds_the_keytab_as_administrator_is_root_unless_mapped():
    identity = evaluate(NO_RULES, "thk", "alice", "h", ALICE, "admin")
    assert identity.is_root
    assert identity.sudoer
    assert identity.daemon == ""
    mapped = rules(**{'thk:"alice":uid': "1000", 'thk:"alice":gid': "100"})
    identity = evaluate(mapped, "thk", "alice", "h", ALICE, "admin")
    assert (identity.uid, identity.gids, identity.sudoer) == (1000, (100, 27), False)


def test_sudoers_and_members_take_roles():
    some = rules(**ENABLED, **{"1000:root": "true", "1001:uids": "1002,1003", "1001:gids": "50"})
    alice = evaluate(some, "unix", "alice", "h", ALICE)
    assert alice.sudoer
    assert ids(switch_role(some, alice, 4711, 4712)) == (4711, 4712)
    assert not switch_role(some, alice, 4711, 4712).sudoer
    assert switch_role(some, alice, 0, 0).is_root
    bob = evaluate(some, "unix", "bob", "h", (1001, 100, (100,)))
    assert ids(switch_role(some, bob, 1002, 50)) == (1002, 50)
    assert ids(switch_role(some, bob, 1001, 50)) == (1001, 50)
    for uid, gid in ((1004, 50), (1002, 51), (0, 0)):
        with pytest.raises(OperationError) as caught:
            switch_role(some, bob, uid, gid)
        assert caught.value.errno == errno.EPERM


def test_nobody_takes_no_role_not_even_its_own():
    some = rules(**{"99:uids": "0", "99:gids": "0"})
    for uid, gid in ((0, 0), (99, 99)):
        with pytest.raises(OperationError):
            switch_role(some, NOBODY, uid, gid)


def test_roles_are_numbers():
    with pytest.raises(OperationError) as caught:
        switch_role(NO_RULES, ROOT, -1, 2**32)
    assert caught.value.errno == errno.EINVAL


def test_geotag_by_longest_prefix():
    some = rules(**{"geotag:10.": "a", "geotag:10.0.": "a::b", "geotag:fe80:": "c"})
    assert geotag_of(some, "10.0.1.2") == "a::b"
    assert geotag_of(some, "10.1.1.2") == "a"
    assert geotag_of(some, "fe80::1") == "c"
    assert geotag_of(some, "192.168.0.1") == ""


def test_unix_credentials_as_xrdcp_sends_them():
    assert unix_user(b"unix\0alice users\0") == "alice"
    assert unix_user(b"unix\0alice") == "alice"


@pytest.mark.parametrize(
    "raw", [b"", b"unix", b"unix\0", b"unix\0\0", b"unix\0 g", b"sss\0alice g\0", b"unix\0\xff g"]
)
def test_unreadable_credentials_fail(raw):
    with pytest.raises(OperationError) as caught:
        unix_user(raw)
    assert caught.value.errno == errno.EBADE


@given(
    prot=st.sampled_from(["none", "unix", "host"]),
    name=st.sampled_from(["root", "alice", "<pwd>", ""]),
    host=st.sampled_from(["h1", "gw1", "<pwd>"]),
    account=st.sampled_from([None, ALICE, ROOT_ACCOUNT]),
    values=st.dictionaries(
        st.sampled_from(
            [
                'unix:"<pwd>":uid',
                'host:"<pwd>":uid',
                'tident:"*@*":uid',
                'tident:"unix@gw*":uid',
                'tident:"host@gw*":gid',
                'unix:"alice":gid',
                'unix:"<pwd>":gid',
            ]
        ),
        st.sampled_from(["0", "99", "1000"]),
    ),
)
def test_no_rule_without_a_name_ever_makes_root(prot, name, host, account, values):
    identity = evaluate(rules(**values), prot, name, host, account)
    assert not identity.is_root
    assert not identity.sudoer
    assert identity.gid in identity.gids
