"""The sending half: joined writes, one writer at a time, drained before a bulk send."""

import asyncio
import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.io.transport.outbox import Outbox


@pytest.fixture
def box_run(recording_transport):
    """Run a test with an Outbox, its transport and the protocol between them."""

    class Protocol(asyncio.Protocol):
        box: Outbox

        def pause_writing(self) -> None:
            self.box.pause()

        def resume_writing(self) -> None:
            self.box.resume()

        def connection_lost(self, exc) -> None:
            self.box.lost()

    def run(test):
        async def main() -> None:
            protocol = Protocol()
            transport = recording_transport(protocol)
            protocol.box = Outbox(transport)
            await asyncio.wait_for(test(protocol.box, transport), 20)

        asyncio.run(main())

    return run


def test_flush_joins_everything(box_run):
    async def test(box, transport):
        for part in (b"a", bytearray(b"b"), memoryview(b"c")):
            box.put(part)
        assert box.queued_bytes == 3
        box.flush()
        box.flush()
        assert transport.writes == [b"abc"]
        assert box.queued_bytes == 0
        big = bytes(100_000)
        box.put(b"x")
        box.put(big)
        box.flush()
        assert transport.writes[1:] == [b"x" + big]

    box_run(test)


def test_nothing_is_written_over_unsent_bytes(box_run):
    async def test(box, transport):
        transport.room = 2
        box.put(b"abc")
        box.flush()
        box.put(b"d")
        box.flush()
        assert transport.writes == [b"abc"]
        transport.drain()
        assert transport.writes == [b"abc"]
        box.flush()
        assert transport.writes == [b"abc", b"d"]

    box_run(test)


def test_writers_take_turns_in_order(box_run):
    async def test(box, transport):
        order = []

        async def send(name: bytes) -> None:
            held = await box.acquire()
            assert held is transport
            assert box.is_exclusive
            box.put(b"-")
            box.flush()
            order.append(name)
            await asyncio.sleep(0)
            held.write(name)
            box.release()
            box.flush()

        await asyncio.gather(*(send(name) for name in (b"1", b"2", b"3")))
        assert order == [b"1", b"2", b"3"]
        assert transport.data == b"1-2-3-"
        assert not box.is_exclusive

    box_run(test)


def test_acquire_waits_until_everything_left(box_run):
    async def test(box, transport):
        transport.room = 1
        box.put(b"ab")
        task = asyncio.get_running_loop().create_task(box.acquire())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        assert transport.writes == [b"ab"]
        transport.drain()
        await task
        assert transport.get_write_buffer_size() == 0
        box.release()

    box_run(test)


def test_a_cancelled_turn_passes_on(box_run):
    async def test(box, transport):
        transport.room = 1
        box.put(b"ab")
        loop = asyncio.get_running_loop()
        first = loop.create_task(box.acquire())
        second = loop.create_task(box.acquire())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        transport.drain()
        await second
        box.release()

    box_run(test)


def test_close_flushes_and_ends_waiting_turns(box_run):
    async def test(box, transport):
        await box.acquire()
        waiting = asyncio.get_running_loop().create_task(box.acquire())
        box.put(b"last")
        box.close()
        assert box.is_closed
        assert not transport.closing
        box.release()
        assert transport.closing
        assert transport.data == b"last"
        with pytest.raises(OperationError) as caught:
            await waiting
        assert caught.value.errno == errno.ECONNRESET
        box.close()
        await asyncio.sleep(0)
        with pytest.raises(OperationError):
            _ = box.transport

    box_run(test)


def test_abort_drops(box_run):
    async def test(box, transport):
        box.put(b"lost")
        box.abort()
        assert box.queued_bytes == 0
        assert transport.closing
        box.flush()
        assert transport.data == b""
        box.abort()

    box_run(test)


def test_stall_is_measured_by_progress(box_run):
    async def test(box, transport):
        assert not box.has_stalled(0.0, 10)
        transport.room = 1
        box.put(b"abcdef")
        box.flush()
        assert not box.has_stalled(100.0, 10)
        assert not box.has_stalled(109.0, 10)
        transport.kept -= 1
        assert not box.has_stalled(115.0, 10)
        assert not box.has_stalled(124.0, 10)
        assert box.has_stalled(126.0, 10)
        transport.drain()
        assert not box.has_stalled(500.0, 10)

    box_run(test)


def test_a_transport_that_gathers_without_pausing(box_run):
    """As asyncio's of Python 3.12.0 to 3.12.8: only the limits make it look at its buffer."""

    async def test(box, transport):
        write, was_asked = transport.write, []

        def writelines(parts):
            pause, transport.protocol.pause_writing = transport.protocol.pause_writing, lambda: None
            write(b"".join(parts))
            transport.protocol.pause_writing = pause

        def set_write_buffer_limits(high):
            was_asked.append(high)
            transport.protocol.pause_writing()

        transport.writelines = writelines
        transport.set_write_buffer_limits = set_write_buffer_limits
        big = bytes(100_000)
        for part in (b"x", big):
            box.put(part)
        box.flush()
        assert was_asked == []
        transport.room = 7
        for part in (b"y", big):
            box.put(part)
        box.flush()
        assert was_asked == [0]
        box.put(b"later")
        box.flush()
        assert transport.writes == [b"x" + big, b"y" + big]
        transport.drain()
        box.flush()
        assert transport.writes[2:] == [b"later"]

    box_run(test)


def test_nothing_is_gathered_for_a_transport_that_ends(box_run):
    """Its `write` knows what to do with it; `writelines` of Python 3.12 watches a dead socket."""

    async def test(box, transport):
        transport.is_closing = lambda: True
        transport.writelines = None
        for part in (b"x", bytes(100_000)):
            box.put(part)
        box.flush()
        assert transport.writes == [b"x" + bytes(100_000)]

    box_run(test)
