"""One upload over links of paper: order, loss, and what a failure does to whom."""

import asyncio
import errno
import random

import pytest
from google_crc32c import value as crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.io.tasks import TaskOwner
from thesan.roles.fst.store import FsStore
from thesan.roles.fst.upload import Origin, Phase, Upload
from thesan.worlds.real.log import Format, RealLog
from thesan.worlds.real.os_disk import OsDisk


class PaperLink:
    """A replica that takes its time and keeps what it was told."""

    def __init__(self, fsid, dice):
        self.fsid = fsid
        self.data = bytearray()
        self.dice = dice
        self.fails = False
        self.told = []
        self.busy = 0
        self.busiest = 0

    async def _do(self, name):
        self.told.append(name)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        for _ in range(self.dice.randint(0, 5)):
            await asyncio.sleep(0)
        self.busy -= 1
        if self.fails:
            raise OperationError(errno.ECONNRESET, "gone")

    async def write(self, offset, data):
        data = bytes(data)
        await self._do("write")
        self.data.extend(bytes(max(0, offset + len(data) - len(self.data))))
        self.data[offset : offset + len(data)] = data

    async def truncate(self, size):
        await self._do("truncate")
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    async def sync(self):
        await self._do("sync")


@pytest.fixture
def run(tmp_path):
    """run(body, links=n): body(upload, links)."""
    disk = OsDisk(str(tmp_path))

    def runner(body, links=0, seed=0):
        async def main():
            store = FsStore(str(tmp_path), lambda path: disk, 0)
            store.fsid = 1
            store.begin_boot()
            store.end_boot()
            dice = random.Random(seed)
            made = [PaperLink(number + 2, dice) for number in range(links)]
            tasks = TaskOwner("test")
            handle = await store.create_data(7)
            origin = Origin(
                op=Op.CREATE, fid=7, path="/f", uid=1, gid=1, layout=0, grant=b"g",
                other_fsids=(), nonce=b"n", client=("u", 1, "h"), is_head=True,
            )  # fmt: skip
            log = RealLog(str(tmp_path / "log"), Format.LOGFMT)
            upload = Upload(store, origin, handle, 0, list(made), 100, tasks, log)
            await body(upload, made)
            await upload.end()
            await tasks.close()
            log.close()

        asyncio.run(main())

    yield runner
    disk.shutdown()


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


def write(upload, offset, data):
    """Begin a write; a future of its answer."""
    answer = asyncio.get_running_loop().create_future()

    def done(error):
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)

    upload.write(offset, data, done)
    return answer


@pytest.mark.parametrize("seed", range(20))
def test_any_operations_give_the_same_everywhere(run, seed):
    dice = random.Random(seed)

    async def body(upload, links):
        model = bytearray()
        waiting = []
        for _ in range(60):
            kind = dice.random()
            if kind < 0.7:
                offset = dice.choice([len(model), dice.randrange(3000)])
                data = dice.randbytes(dice.randint(1, 500))
                model.extend(bytes(max(0, offset + len(data) - len(model))))
                model[offset : offset + len(data)] = data
                waiting.append(write(upload, offset, data))
            elif kind < 0.8:
                size = dice.choice([0, len(model), dice.randrange(3000)])
                del model[size:]
                model.extend(bytes(size - len(model)))
                waiting.append(upload.truncate(size))
            elif kind < 0.9:
                waiting.append(upload.sync())
            else:
                await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        await upload.drain()
        assert upload.size == len(model)
        disk = upload.store.disk
        assert await disk.read(upload.handle, 0, 10_000) == model
        assert [link.data for link in links] == [model] * 2
        sealed = await upload.seal(5)
        sums = adler32(bytes(model)), crc32c(bytes(model))
        assert (sealed.size, sealed.adler32, sealed.crc32c) == (len(model), *sums)

    run(body, links=2, seed=seed)


def test_writes_that_do_not_overlap_are_forwarded_side_by_side(run):
    async def body(upload, links):
        await asyncio.gather(*[write(upload, at * 10, b"x" * 10) for at in range(50)])
        assert links[0].busiest > 1

    run(body, links=1)


def test_a_write_is_answered_when_all_replicas_have_it(run):
    async def body(upload, links):
        gate = asyncio.Event()
        real = links[0].write

        async def slow(offset, data):
            await gate.wait()
            await real(offset, data)

        links[0].write = slow
        answer = write(upload, 0, b"data")
        await asyncio.sleep(0.05)
        assert upload.size == 4
        assert not answer.done()
        gate.set()
        await answer

    run(body, links=2)


@pytest.mark.parametrize("verb", ["write", "truncate", "sync"])
def test_a_replica_that_fails_is_lost_and_nobody_else_suffers(run, verb):
    async def body(upload, links):
        await write(upload, 0, b"first")
        links[0].fails = True
        if verb == "write":
            await write(upload, 5, b"second")
        elif verb == "truncate":
            await upload.truncate(5)
        else:
            await upload.sync()
        told = len(links[0].told)
        await write(upload, 0, b"later")
        assert upload.links == [links[1]]
        assert upload.lost_fsids == [2]
        assert upload.error is None
        assert len(links[0].told) == told

    run(body, links=2)


def test_an_own_failure_is_final(run):
    async def body(upload, links):
        async def fail(*_):
            raise OperationError(errno.ENOSPC, "full")

        await write(upload, 0, b"first")
        disk = upload.store.disk
        disk.write = disk.write_summed = fail
        with refused(errno.ENOSPC):
            await write(upload, 5, b"second")
        del disk.write, disk.write_summed
        for call in (write(upload, 5, b"x"), upload.sync(), upload.drain(), upload.seal(1)):
            with refused(errno.ENOSPC):
                await call
        upload.fail(OperationError(errno.EIO, "another"))
        assert upload.error.errno == errno.ENOSPC

    run(body, links=1)


def test_a_fault_of_ours_is_loud_and_leaves_nobody_waiting(run):
    async def body(upload, links):
        faults = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: faults.append(context["exception"]))
        real = upload._write_here

        async def broken(*_):
            raise KeyError("fault")

        upload._write_here = broken
        answers = [write(upload, 0, b"x"), write(upload, 1, b"y"), upload.sync()]
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [result.errno for result in results] == [errno.EFAULT] * 3
        assert [type(fault) for fault in faults] == [KeyError]
        upload._write_here = real

    run(body)


def test_after_the_end(run):
    async def body(upload, links):
        await write(upload, 0, b"x")
        upload.phase = Phase.CLOSING
        with refused(errno.EBADF):
            await write(upload, 0, b"y")
        await upload.drain()
        await upload.end()
        await upload.end()
        for call in (upload.drain(), upload.sync(), upload.truncate(0)):
            with refused(errno.EBADF):
                await call

    run(body)


def test_the_end_waits_for_reads(run):
    async def body(upload, links):
        upload.reads = 2
        ending = asyncio.ensure_future(upload.end())
        for _ in range(2):
            await asyncio.sleep(0)
            assert not ending.done()
            upload.read_done()
        await ending

    run(body)


def test_bad_pages(run):
    async def body(upload, links):
        upload.note_pages(0, 8192, [0, 4096])
        upload.note_pages(4096, 4096, [])
        assert list(upload.bad_pages) == [0]
        upload.note_pages(0, 4096, [0])
        assert list(upload.bad_pages) == [0]
        upload.note_pages(0, 4096, [])
        assert not upload.bad_pages
        with refused(errno.ETOOMANYREFS):
            upload.note_pages(0, 1 << 30, list(range(0, 4096 * 300, 4096)))

    run(body)


def test_who_writes(run):
    class Writer:
        voided = False

        def void(self):
            self.voided = True

    async def body(upload, links):
        first, second = Writer(), Writer()
        upload.attach(first)
        upload.attach(second)
        assert (first.voided, second.voided) == (True, False)
        assert not upload.detach(first)
        assert upload.detach(second)
        assert upload.writer is None
        upload.attach(first)
        await upload.end()
        assert upload.writer is None

    run(body)


def test_booked_bytes_are_given_back_as_they_are_used(run):
    async def body(upload, links):
        store = upload.store
        assert store.booked_bytes == 100
        await write(upload, 0, b"x" * 30)
        assert store.booked_bytes == 70
        await upload.truncate(10)
        assert store.booked_bytes == 70
        await write(upload, 0, b"x" * 200)
        assert store.booked_bytes == 0
        await upload.end()
        assert store.booked_bytes == 0

    run(body)
