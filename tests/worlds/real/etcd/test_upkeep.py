"""The operator's verbs on a real etcd: what its members say, and the way out of a full quota."""

import asyncio
from itertools import count

import pytest

from thesan.core.journal.quota import Admission, admission
from thesan.core.model.errors import JournalError, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Owner
from thesan.worlds.real.etcd.engine import EtcdEngine
from thesan.worlds.real.etcd.spec import parse_spec
from thesan.worlds.real.etcd.upkeep import members, recover

A = Owner("a", Epoch(1), "a:1094", 11)
B = Owner("b", Epoch(2), "b:1094", 22)
QUOTA = 32 << 20


def test_what_the_members_say(play, spec, etcd, engine_of):
    async def story():
        async with engine_of(spec) as engine:
            states = await members(engine)
            assert [state.address for state in states] == etcd.clients
            assert [state.name for state in states] == ["etcd1", "etcd2", "etcd3"]
            assert sorted(state.role for state in states) == ["follower", "follower", "leader"]
            for state in states:
                assert state.version
                assert 0 < state.used_bytes <= state.db_bytes < state.quota_bytes
                assert state.raft_index > 0
                assert state.latency_ms > 0
                assert not state.alarms
                assert not state.detail

    play(story)


def test_a_member_that_is_down(play, hurt_etcd, engine_of):
    hurt_etcd.kill(1)
    spec = parse_spec(hurt_etcd.spec.partition(":")[2])

    async def story():
        async with engine_of(spec) as engine:
            states = await members(engine)
            assert states[1].role == "down"
            assert states[1].detail
            assert sorted(state.role for state in states) == ["down", "follower", "leader"]
            with pytest.raises(JournalError, match=hurt_etcd.clients[1]):
                await anext(recover(engine, None, dry_run=True))
            status = await engine.status()
            assert status.healthy
            assert hurt_etcd.clients[1] in status.detail

    play(story)


def test_a_member_that_the_spec_does_not_name_is_not_left_out(play, etcd, engine_of):
    async def story():
        async with engine_of(parse_spec(",".join(etcd.clients[:2]))) as engine:
            with pytest.raises(JournalError, match="etcd3"):
                await anext(recover(engine, None, dry_run=True))

    play(story)


@pytest.mark.slow
def test_the_drill(play, start_etcd):
    """Fill a quota of 32 MiB to the brim; see what works still; get out of it; write again."""
    cluster = start_etcd(more=["--quota-backend-bytes", str(QUOTA)])
    spec = parse_spec(f"{','.join(cluster.clients)}/drill")

    async def story():
        engine = await EtcdEngine.open(spec)
        try:
            assert await engine.take_over(None, A)
            await engine.append(A, Seq(1), bytes(100_000))
            status = await engine.status()
            assert status.quota_bytes == QUOTA
            seen = {Admission.ALL}

            async def fill():
                for seq in count(2):
                    await engine.append(A, Seq(seq), bytes(200_000))
                    if seq % 5 == 0:
                        await asyncio.sleep(0.11)  # etcd counts its pages ten times a second.
                        status = await engine.status()
                        seen.add(admission(status.used_bytes, status.quota_bytes))

            with pytest.raises(Unavailable, match="space exceeded"):
                await fill()
            seq = (await engine.observe()).last
            # The guard would have stopped both kinds of writers before.
            assert seen == {*Admission}
            # Reads and removals work, beats and takeovers do not.
            assert await engine.read(Seq(seq), 1)
            for call in (engine.beat(A), engine.take_over(A, B)):
                with pytest.raises(Unavailable, match="space exceeded"):
                    await call
            status = await engine.status()
            assert not status.healthy
            assert "NOSPACE" in status.detail
            assert any("NOSPACE" in state.alarms for state in await members(engine))

            wanted = ["drop", "compact", *["defragment"] * 2, "move-leader", "defragment"]
            dry = [step async for step in recover(engine, Seq(seq - 9), dry_run=True)]
            assert [step.step for step in dry[:6]] == wanted
            assert {step.step for step in dry[6:]} == {"disarm"}
            assert not any(step.done for step in dry)
            assert (await engine.status()).first == 1

            # Without the others, disarming is undone at once: hence all of it, in this order.
            steps = [step async for step in recover(engine, Seq(seq - 9), dry_run=False)]
            assert [step.step for step in steps] == [step.step for step in dry]
            assert all(step.done for step in steps)
            for step in steps:
                if step.step == "defragment":
                    assert step.after < step.before / 4
            status = await engine.status()
            assert (status.first, status.last) == (seq - 9, seq)
            async with asyncio.timeout(10):  # Each member applies the disarming in its own time.
                while not (await engine.status()).healthy:
                    await asyncio.sleep(0.05)
            await engine.append(A, Seq(seq + 1), bytes(200_000))
            await engine.beat(A)
            assert await engine.take_over(A, B)
            # Again: nothing to do, nothing breaks.
            again = [step async for step in recover(engine, None, dry_run=False)]
            assert "disarm" not in [step.step for step in again]
            assert (await engine.observe()).last == seq + 1
        finally:
            await engine.close()

    play(story)
    cluster.close()
