"""Big answers leave a simulated process whole, or the connection is aborted."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.wire.pages import pgread_answer
from thesan.worlds.simulated.bulk import SLICE_BYTES, SimBulk
from thesan.worlds.simulated.disk import SimDisk
from thesan.worlds.simulated.platter import Platter

CONTENT = bytes(number % 251 for number in range(3 * SLICE_BYTES + 77))


@pytest.fixture
def disk(pair):
    """A disk of the server, with one file."""
    disk = SimDisk(pair.loop, Platter("s:/d"), "1")
    pair.loop.run_until_complete(disk.write_file("f", CONTENT))
    return disk


def _send(pair, disk, work):
    async def main():
        handle = await disk.open("f")
        await work(handle)

    pair.loop.run_until_complete(
        pair.loop.start(pair.server_process, main(), "send"),
    )
    pair.run(1)


@pytest.mark.parametrize(("offset", "length"), [(0, len(CONTENT)), (5, 1), (100, SLICE_BYTES)])
def test_send_file(pair, disk, offset, length):
    _send(
        pair,
        disk,
        lambda handle: SimBulk().send_file(
            pair.server.transport, b"head", disk, handle, offset, length
        ),
    )
    assert pair.client.data == b"head" + CONTENT[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(4096, 100), (5, 4096), (0, 0)])
def test_send_pages_of_one_slice(pair, disk, offset, length):
    _send(
        pair,
        disk,
        lambda handle: SimBulk().send_pages(
            pair.server.transport, b"\0\1", disk, handle, offset, length
        ),
    )
    data = CONTENT[offset : offset + length]
    assert pair.client.data == pgread_answer(b"\0\1", offset, data)


def test_send_pages_of_many_slices(pair, disk):
    _send(
        pair,
        disk,
        lambda handle: SimBulk().send_pages(
            pair.server.transport, b"\0\1", disk, handle, 0, len(CONTENT)
        ),
    )
    wanted = b"".join(
        pgread_answer(
            b"\0\1", start, CONTENT[start : start + SLICE_BYTES], final=start >= 3 * SLICE_BYTES
        )
        for start in range(0, len(CONTENT), SLICE_BYTES)
    )
    assert pair.client.data == wanted


def test_a_file_that_shrank_aborts(pair, disk):
    with pytest.raises(OperationError) as caught:
        _send(
            pair,
            disk,
            lambda handle: SimBulk().send_file(
                pair.server.transport, b"", disk, handle, 0, len(CONTENT) + 1
            ),
        )
    assert caught.value.errno == errno.EIO
    pair.run(1)
    assert pair.server.told[-1] == "lost"


def test_a_peer_that_is_gone(pair, disk):
    pair.client.transport.abort()
    pair.run(1)
    pair.server.transport.abort()
    pair.run(1)
    with pytest.raises(OperationError) as caught:
        _send(
            pair,
            disk,
            lambda handle: SimBulk().send_file(pair.server.transport, b"head", disk, handle, 0, 10),
        )
    assert caught.value.errno == errno.ECONNRESET


def test_a_peer_that_takes_nothing(pair, disk):
    pair.client.transport.pause_reading()
    pair.network.window_bytes = 100
    with pytest.raises(OperationError) as caught:
        _send(
            pair,
            disk,
            lambda handle: SimBulk().send_file(
                pair.server.transport, b"head", disk, handle, 0, 1000
            ),
        )
    assert caught.value.errno == errno.ECONNRESET
