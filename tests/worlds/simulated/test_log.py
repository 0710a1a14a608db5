"""Log lines enter the trace; an error fails the run."""

from thesan.worlds.simulated.log import SimLog
from thesan.worlds.simulated.loop import SimLoop


def test_levels():
    loop = SimLoop(1, story=True)
    process = loop.network.process("a", "daemon")
    log = SimLog(loop, process)
    log.debug("one")
    log.info("two", fid=3)
    log.warning("three")
    assert not loop.trace.failures
    log.error("four", fid=5)
    assert len(loop.trace.failures) == 1
    assert "four fid=5" in loop.trace.failures[0]
    assert any("info two fid=3" in line for line in loop.trace.story())
    loop.close()


def test_an_excused_error_is_only_a_line():
    loop = SimLoop(1)
    process = loop.network.process("a", "daemon")
    log = SimLog(loop, process, lambda event, fields: event == "fsync failed")
    log.error("fsync failed")
    assert not loop.trace.failures
    log.error("something else")
    assert loop.trace.failures
    loop.close()
