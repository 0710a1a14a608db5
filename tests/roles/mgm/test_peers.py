"""What MGMs tell each other."""

from thesan.core.control.messages import MgmBeat, NodeReport
from thesan.core.model.ids import Epoch
from thesan.ports.engine import Owner


def test_each_knows_what_the_others_are(trio) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    for bench in trio.benches:
        states = {state.address: state for state in bench.mgm.process.mgm_states()}
        assert list(states) == ["mgm1:1094", "mgm2:1094", "mgm3:1094"]
        assert all(state.is_online and state.eligible for state in states.values())
        assert [one.role for one in states.values()].count("master") == 1
        assert states[f"{master.name}:1094"].role == "master"
        assert all(state.lag == 0 for state in states.values())


def test_a_dead_process_is_known_at_once_and_a_silent_host_is_not(trio) -> None:
    trio.start()
    trio.until_master()
    trio.sleep(3)
    watcher, killed, gone = trio.benches
    killed.crash()
    trio.loop.network.power_off(gone.name)
    trio.sleep(0.3)
    peers = {peer.address: peer for peer in watcher.run(peers_of(watcher))}
    assert peers[f"{killed.name}:1094"].is_gone
    assert not peers[f"{gone.name}:1094"].is_gone
    trio.sleep(3)
    states = {state.address: state for state in watcher.run(states_of(watcher))}
    assert not states[f"{killed.name}:1094"].is_online
    assert not states[f"{gone.name}:1094"].is_online
    killed.start(wait=False)
    trio.sleep(3)
    peers = {peer.address: peer for peer in watcher.run(peers_of(watcher))}
    assert not peers[f"{killed.name}:1094"].is_gone


async def peers_of(bench):
    return bench.mgm.process.peers.all()


async def states_of(bench):
    return bench.mgm.process.mgm_states()


def test_a_line_that_we_gave_up_says_nothing_of_the_process_behind_it(trio) -> None:
    """The MGM lives, and only the way to it is dark: it has its whole time to be heard of."""
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    others = [bench for bench in trio.benches if bench is not master]
    for bench in others:
        trio.loop.network.cut(bench.name, master.name)
        trio.loop.network.cut(master.name, bench.name)
    for _ in range(60):
        trio.sleep(0.1)
        for bench in others:
            peers = {peer.address: peer for peer in bench.mgm.process.peers.all()}
            assert not peers[f"{master.name}:1094"].is_gone


def test_who_says_that_it_is_not_master_has_resigned_if_it_knows_the_epoch(trio) -> None:
    trio.start()
    trio.until_master()
    trio.sleep(2)
    bench = trio.benches[0]
    peers = bench.mgm.process.peers
    owner = Owner("mgm2:1094", Epoch(5), "mgm2:1094")

    async def said(role: str, epoch: int) -> bool:
        peers.heard(MgmBeat("mgm2:1094", "b", role, epoch, 1, 1, True, "", NodeReport()))
        return peers.has_resigned(owner)

    assert not bench.run(said("standby", 4)), "it may not know yet that it has claimed"
    assert not bench.run(said("master", 5))
    assert bench.run(said("standby", 5))
    assert bench.run(said("starting", 6))


def test_what_is_durable_elsewhere_is_what_was_heard_lately(trio) -> None:
    trio.start()
    trio.until_master()
    trio.sleep(12)
    bench = trio.benches[0]

    async def durable() -> list[int]:
        return bench.mgm.process.peers.durable()

    assert len(bench.run(durable())) == 2
    assert min(bench.run(durable())) > 0
    trio.benches[1].crash()
    trio.benches[2].crash()
    trio.sleep(5)
    assert bench.run(durable()) == []
