"""`mgm invite` and `mgm join`: once, in time, for one address."""

import dataclasses
import errno
from typing import Any

import pytest

from thesan.core.authority.invitation import JOIN_SECTION, fingerprint, parse_token, unseal
from thesan.core.leadership.records import MEMBER_SECTION
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import NOBODY
from thesan.core.model.limits import JOIN_COUNT_MAX, JOIN_TOKEN_SECONDS
from thesan.core.namespace import queries

NEW = "mgm3:1094"


def invited(mgm: Any, address: str = NEW, **args: Any) -> Any:
    (record,) = mgm.do("mgm invite", mgm=address, **args).records
    return parse_token(record["token"])


def join(mgm: Any, token: Any, address: str = NEW) -> Any:
    return mgm.do("mgm join", NOBODY, id=fingerprint(token.secret), mgm=address)


def members(mgm: Any) -> list[str]:
    return list(queries.config(mgm.namespace, MEMBER_SECTION))


def test_a_token_is_good_once(mgm: Any) -> None:
    token = invited(mgm, geotag="a::b")
    assert members(mgm) == []
    assert token.mgms == ("mgm1:1094", "mgm2:1094")
    (record,) = join(mgm, token).records
    found = unseal(bytes.fromhex(record["box"]), token.secret)
    assert (found.address, found.instance, found.geotag) == (NEW, "test", "a::b")
    assert (found.keytab, found.journal) == ("# a secret", "etcd:e1:2379/test")
    assert found.failover == "fast"
    assert found.mgms == ("mgm1:1094", "mgm2:1094", NEW)
    assert members(mgm) == [NEW]
    assert not queries.config(mgm.namespace, JOIN_SECTION)
    with pytest.raises(OperationError, match="used, or replaced") as caught:
        join(mgm, token)
    assert caught.value.errno == errno.ENOENT


def test_no_secret_is_in_the_journal(mgm: Any) -> None:
    token = invited(mgm)
    (data,) = queries.config(mgm.namespace, JOIN_SECTION).values()
    assert token.secret not in data
    assert b"# a secret" not in data


def test_a_token_is_for_one_address(mgm: Any) -> None:
    token = invited(mgm)
    with pytest.raises(OperationError, match="is for mgm3:1094, not for mgm4:1094"):
        join(mgm, token, "mgm4:1094")
    assert members(mgm) == []
    assert join(mgm, token)


def test_a_token_expires(mgm: Any) -> None:
    token = invited(mgm)
    mgm.now_ns += JOIN_TOKEN_SECONDS * 10**9
    with pytest.raises(OperationError, match="expired"):
        join(mgm, token)
    mgm.now_ns -= 10**9
    assert join(mgm, token)


def test_a_guess_is_refused(mgm: Any) -> None:
    invited(mgm)
    for guess in ("", "0" * 32, "x"):
        with pytest.raises(OperationError):
            mgm.do("mgm join", NOBODY, id=guess, mgm=NEW)


def test_only_root_invites(mgm: Any) -> None:
    with pytest.raises(OperationError) as caught:
        mgm.do("mgm invite", NOBODY, mgm=NEW)
    assert caught.value.errno == errno.EPERM


def test_a_new_invitation_takes_the_place_of_the_old_one(mgm: Any) -> None:
    invited(mgm)
    invited(mgm)
    assert len(queries.config(mgm.namespace, JOIN_SECTION)) == 1


def test_invitations_are_bounded_until_they_expire(mgm: Any) -> None:
    dice = iter(range(1, 10**6))
    mgm.dice = lambda: next(dice)
    for number in range(JOIN_COUNT_MAX):
        invited(mgm, f"n{number}:1")
    with pytest.raises(OperationError, match="invitations wait"):
        invited(mgm, "more:1")
    mgm.now_ns += JOIN_TOKEN_SECONDS * 10**9
    invited(mgm, "more:1")
    assert len(queries.config(mgm.namespace, JOIN_SECTION)) == 1


@pytest.mark.parametrize("address", ["", "h", "h:0", "h:x", "h:70000", "x" * 300 + ":1"])
def test_a_bad_address_is_refused(mgm: Any, address: str) -> None:
    with pytest.raises(OperationError):
        invited(mgm, address)


def test_a_member_is_not_invited_again(mgm: Any) -> None:
    join(mgm, invited(mgm))
    with pytest.raises(OperationError, match="member already"):
        invited(mgm)


def test_a_file_is_not_shared_over_a_network(mgm: Any) -> None:
    mgm.config = dataclasses.replace(mgm.config, journal="sqlite:/x/journal.db")
    with pytest.raises(OperationError, match="engine migrate"):
        invited(mgm)
    assert invited(mgm, "mgm1:1095")
