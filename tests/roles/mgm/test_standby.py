"""The role of a standby; its failovers are in test_failover.py."""

import pytest

from thesan.core.authority.rules import VID_SECTION
from thesan.core.model.errors import OperationError
from thesan.core.namespace.ops import ConfigSet
from thesan.core.wire.requests import Mkdir
from thesan.roles.mgm import standby
from thesan.roles.mgm.process import Role


@pytest.fixture
def pair(trio):
    """(master, a standby)."""
    trio.start()
    master = trio.until_master()
    trio.sleep(1)
    return master, next(bench for bench in trio.benches if bench is not master)


def test_a_desk_takes_no_change(pair) -> None:
    _, standby = pair

    async def change() -> None:
        standby.mgm.desk.submit(ConfigSet("x", "y", b"z"))

    with pytest.raises(OperationError, match="not master"):
        standby.run(change())


def test_identity_rules_are_those_of_the_journal(pair) -> None:
    master, standby = pair
    assert not standby.mgm.desk.rules.users
    master.admin("vid", "enable", prot="unix")
    standby.sleep(0.3)
    assert standby.mgm.desk.rules.users == master.mgm.master.rules.users != {}
    assert VID_SECTION == "vid"


def test_it_follows_while_the_master_writes(pair) -> None:
    master, standby = pair
    for number in range(30):
        master.ok(Mkdir(b"\0\1", f"/d{number}"))
    standby.sleep(0.2)
    assert standby.mgm.desk.namespace.digest == master.mgm.master.namespace.digest
    assert standby.mgm.process.lag() == 0
    standby.sleep(6)
    assert standby.mgm.process.durable == master.journal.last
    assert standby.store.unflushed_count == 0


def test_its_store_is_a_prefix_of_the_journal_after_a_crash(pair) -> None:
    master, standby = pair
    for number in range(30):
        master.ok(Mkdir(b"\0\1", f"/d{number}"))
    standby.crash(keep_writes=5)
    standby.start(wait=False)
    standby.sleep(1)
    assert standby.mgm.role is Role.STANDBY
    assert standby.mgm.desk.namespace.digest == master.mgm.master.namespace.digest


def test_a_store_that_fails_ends_the_role_and_it_begins_anew(pair) -> None:
    from thesan.core.model.errors import StoreError

    master, standby = pair
    write = standby.store.write

    def fail(changes):
        raise StoreError("no space left on device")

    standby.store.write = fail
    master.ok(Mkdir(b"\0\1", "/a"))
    standby.sleep(3)
    assert standby.mgm.role is Role.STARTING
    assert "no space" in standby.mgm.process.why
    standby.store.write = write
    standby.sleep(6)
    assert standby.mgm.role is Role.STANDBY
    assert standby.mgm.desk.namespace.digest == master.mgm.master.namespace.digest
    standby.loop.trace.failures.clear()


def test_a_claim_of_unknown_outcome_is_never_taken_up_later(bench, monkeypatch) -> None:
    """It landed, but by then this MGM had told the others that it is not master."""
    bench.mgm.master.submit(ConfigSet("x", "y", b"z"))
    bench.sleep(1)
    epoch = bench.mgm.master.epoch
    bench.crash()
    proposed = []

    async def claim(engine, seen, new, still=None) -> bool:
        proposed.append(new)
        won = await engine.take_over(seen, new, still)
        if len(proposed) == 1:
            raise TimeoutError
        return won

    monkeypatch.setattr(standby, "claim", claim)
    bench.start()
    assert [one.epoch for one in proposed] == [epoch + 1, epoch + 2]
    assert bench.mgm.master.epoch == epoch + 2
