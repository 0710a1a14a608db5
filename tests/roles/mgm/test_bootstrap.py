"""Who is root of a fresh instance, and who is not."""

from thesan.core.authority.rules import parse_rules
from thesan.core.authority.vid import evaluate
from thesan.roles.mgm.bootstrap import first_ops
from thesan.roles.mgm.config import MgmConfig
from thesan.worlds.simulated.host import ACCOUNTS, SimHost
from thesan.worlds.simulated.machine import Machine

HOST = SimHost(Machine(1, "mgm"))


def test_the_trusted_user_is_root_over_loopback_and_nobody_else_is() -> None:
    ops = first_ops(MgmConfig(keytab="x", trust_users=(1001,)), HOST)
    rules = parse_rules({op.key: op.value for op in ops})
    for host in ("127.0.0.1", "127.0.0.12", "::1", "::ffff:127.0.0.1"):
        who = evaluate(rules, "unix", "alice", host, ACCOUNTS["alice"])
        assert (who.uid, who.gid, who.sudoer) == (0, 0, True)
    for name, prot, host in (
        ("alice", "unix", "10.0.0.1"),
        ("alice", "unix", "::2"),
        ("bob", "unix", "127.0.0.1"),
        ("root", "unix", "127.0.0.1"),
        ("127.0.0.1", "host", "127.0.0.1"),
    ):
        assert evaluate(rules, prot, name, host, ACCOUNTS.get(name)).uid == 99


def test_without_trusted_users_there_is_nothing_to_do() -> None:
    assert first_ops(MgmConfig(keytab="x"), HOST) == []


def test_the_rules_are_written_once(make_bench) -> None:
    bench = make_bench(trust_users=(1001,))
    rules = bench.admin("vid", "ls").records
    assert len(rules) >= 6
    for record in rules:
        bench.admin("vid", "rm", key=record["key"])
    assert bench.admin("vid", "ls").records == []
    bench.crash()
    bench.start()
    assert bench.admin("vid", "ls").records == []
    bench.stop()
