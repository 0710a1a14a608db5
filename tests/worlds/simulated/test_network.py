"""Links, cuts, names and connecting in the simulated network."""

import asyncio

import pytest

from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.network import BadLink, NetworkSettings


def test_a_cut_holds_one_direction(pair):
    pair.network.cut("c", "s")
    pair.client.transport.write(b"held")
    pair.server.transport.write(b"passes")
    pair.run(30)
    assert pair.server.data == b""
    assert pair.client.data == b"passes"
    pair.network.heal("c", "s")
    pair.client.transport.write(b" and later")
    pair.run(10)
    assert pair.server.data == b"", "TCP doubles its pauses: it tries again 51 s after the cut"
    pair.run(15)
    assert pair.server.data == b"held and later"


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_what_was_sent_into_a_cut_arrives_whatever_became_of_its_sender(pair, end):
    pair.network.cut("c", "s")
    pair.client.transport.write(b"last words")
    pair.run(1)
    if end == "closed":
        pair.client.transport.abort()
        pair.run(1)
    else:
        pair.network.kill(pair.client_process)
    pair.network.heal("c", "s")
    pair.run(5)
    assert pair.server.data == b"last words"


def test_what_was_sent_into_a_cut_is_lost_with_the_power_of_its_sender(pair):
    pair.network.cut("c", "s")
    pair.client.transport.write(b"last words")
    pair.run(1)
    pair.client.transport.abort()
    pair.run(0.1)
    pair.network.power_off("c")
    pair.network.power_on("c")
    pair.network.heal("c", "s")
    pair.run(20)
    assert pair.server.data == b""


def test_cuts_count(pair):
    pair.network.cut("c", "s")
    pair.network.cut("c", "s")
    pair.network.heal("c", "s")
    pair.client.transport.write(b"x")
    pair.run(5)
    assert pair.server.data == b""
    pair.network.heal("c", "s")
    pair.run(5)
    assert pair.server.data == b"x"


def test_nobody_listens(pair):
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await pair.loop.create_connection(asyncio.Protocol, "s", 2)

    pair.loop.run_until_complete(main())


def test_an_unknown_name(pair):
    async def main():
        with pytest.raises(OSError, match="not known"):
            await pair.loop.create_connection(asyncio.Protocol, "nowhere", 2)

    pair.loop.run_until_complete(main())


def test_connecting_to_silence_takes_two_minutes(pair):
    async def main():
        before = pair.loop.time()
        with pytest.raises(TimeoutError):
            await pair.loop.create_connection(asyncio.Protocol, "s", 1)
        return pair.loop.time() - before

    pair.network.power_off("s")
    assert 127 <= pair.loop.run_until_complete(main()) < 128


def test_connecting_survives_a_short_cut(pair):
    async def heal():
        await asyncio.sleep(2)
        pair.network.heal("s", "localhost")

    async def main():
        task = pair.loop.create_task(heal())
        await pair.loop.create_connection(asyncio.Protocol, "s", 1)
        await task

    pair.network.cut("s", "localhost")
    pair.loop.run_until_complete(main())


def test_delay_adds_to_latency(pair):
    pair.network.delay("c", "s", 2.0)
    pair.client.transport.write(b"x")
    pair.run(1.9)
    assert pair.server.data == b""
    pair.run(0.2)
    assert pair.server.data == b"x"
    pair.network.delay("c", "s", 0.0)
    pair.client.transport.write(b"y")
    pair.run(0.1)
    assert pair.server.data == b"xy"


def test_reset_connections(pair):
    pair.network.reset_connections("c", "s")
    pair.run(1)
    assert pair.client.told == pair.server.told == ["made", "lost ConnectionResetError"]


def test_a_port_is_taken_once(pair):
    async def main():
        await pair.loop.create_server(asyncio.Protocol, "s", 1)

    with pytest.raises(OSError, match="in use"):
        pair.loop.run_until_complete(pair.loop.start(pair.server_process, main(), "again"))


def test_a_killed_listener_frees_its_port(pair):
    pair.network.kill(pair.server_process)
    with pytest.raises(ConnectionRefusedError):
        pair.dial()
    again = pair.network.process("s", "server")
    work = pair.loop.create_server(asyncio.Protocol, "s", 1)
    pair.loop.run_until_complete(pair.loop.start(again, work, "listen"))
    pair.dial()


def test_a_paused_server_accepts_in_the_kernel(pair):
    pair.network.pause(pair.server_process)
    _, late = pair.dial()
    late.transport.write(b"hello")
    pair.run(5)
    assert len(pair.accepted) == 1
    pair.network.resume(pair.server_process)
    pair.run(1)
    assert pair.accepted[1].data == b"hello"


def test_a_connection_to_a_server_killed_before_it_accepts_is_reset(pair):
    pair.network.pause(pair.server_process)
    _, late = pair.dial()
    late.transport.write(b"hello")
    pair.run(1)
    pair.network.kill(pair.server_process)
    pair.run(1)
    assert late.told == ["made", "lost ConnectionResetError"]


def test_machines_resolve_by_name_and_address(loop):
    machine = loop.network.machine("fst1")
    assert loop.network.resolve("fst1", machine) is machine
    assert loop.network.resolve(machine.address, machine) is machine
    assert loop.network.resolve("localhost", machine) is machine


def test_seeds_differ():
    digests = []
    for seed in (1, 1, 2):
        loop = SimLoop(seed, network=NetworkSettings(jitter_seconds=0.01))

        async def main():
            server = await asyncio.start_server(lambda r, w: w.close(), "localhost", 5)
            reader, writer = await asyncio.open_connection("localhost", 5)
            assert await reader.read() == b""
            writer.close()
            server.close()

        loop.run_until_complete(main())
        digests.append(loop.trace.digest())
        loop.close()
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("bad", [BadLink(loss=0.5), BadLink(late=0.5)])
def test_a_bad_link_is_slow_and_loses_nothing_for_good(pair, bad):
    pair.network.spoil("c", "s", bad)
    for _ in range(20):
        pair.client.transport.write(b"x")
        pair.run(0.05)
    assert len(pair.server.data) < 20
    pair.network.spoil("c", "s", None)
    pair.run(60)
    assert pair.server.data == b"x" * 20


def test_a_reset_that_is_lost_on_a_dead_line_is_learned_by_keepalive(pair):
    pair.client.transport.pause_reading()
    pair.server.transport.write(b"unread: closing is a reset")
    pair.run(1)
    pair.network.cut("c", "s")
    pair.client.transport.write(b"of no more interest")
    pair.client.transport.abort()
    pair.run(5)
    pair.network.heal("c", "s")
    pair.run(5)
    assert pair.server.told == ["made"]
    assert pair.server.data == b""
    pair.run(15)
    assert pair.server.told == ["made", "lost ConnectionResetError"]


def test_a_machine_that_is_dark_for_long_is_given_up(pair):
    pair.network.cut("c", "s")
    pair.run(30)
    assert pair.server.told == ["made"]
    pair.run(5)
    assert pair.server.told == ["made", "lost TimeoutError"]
