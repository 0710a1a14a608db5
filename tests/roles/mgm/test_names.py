"""Names of accounts, cached and made fit for a stat text."""

import pytest

from thesan.core.model.limits import ACCOUNT_SECONDS_MAX
from thesan.roles.mgm import names as module
from thesan.roles.mgm.names import Names


class Host:
    def __init__(self) -> None:
        self.asked: list[object] = []
        self.name = "alice"

    def user_name(self, uid: int) -> str:
        self.asked.append(uid)
        return self.name

    def group_name(self, gid: int) -> str:
        self.asked.append(gid)
        return "users"

    def account(self, user: str):
        self.asked.append(user)
        return (1, 2, (2,)) if user == "alice" else None


def test_the_host_is_asked_once_in_a_while() -> None:
    host = Host()
    names = Names(host)
    assert [names.user(7, now) for now in (0.0, 1.0, ACCOUNT_SECONDS_MAX - 1)] == ["alice"] * 3
    assert names.group(7, 0.0) == "users"
    assert names.account("alice", 0.0) == (1, 2, (2,))
    assert names.account("nobody", 0.0) is None
    assert names.account("nobody", 1.0) is None
    assert host.asked == [7, 7, "alice", "nobody"]
    host.name = "alicia"
    assert names.user(7, ACCOUNT_SECONDS_MAX) == "alicia"


@pytest.mark.parametrize("name", ["", "two words", "tab\tinside", "new\nline"])
def test_a_name_that_a_stat_text_can_not_hold_is_its_number(name: str) -> None:
    host = Host()
    host.name = name
    assert Names(host).user(7, 0.0) == "7"


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMES_CACHED_MAX", 3)
    host = Host()
    names = Names(host)
    for uid in range(10):
        names.user(uid, 0.0)
    assert names.user(9, 0.0) == "alice"
    assert len(host.asked) == 10
