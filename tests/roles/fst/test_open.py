"""kXR_open: who is let in, who goes on with whose upload, and what is left when it fails."""

import asyncio
import errno
import os

import pytest

from thesan.core.authority.capability import Op
from thesan.core.control.replica import Seal, Settle, decode_outcome, encode_order
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import OperationError
from thesan.core.wire import bodies
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, OpenFlag, QueryCode, Status
from thesan.ports.disk import DiskUsage
from thesan.roles.fst.links import ask
from thesan.roles.fst.store import BootState

READ = int(OpenFlag.READ | OpenFlag.RETSTAT)
NEW = int(OpenFlag.NEW | OpenFlag.UPDATE | OpenFlag.RETSTAT)
UPDATE = int(OpenFlag.UPDATE | OpenFlag.RETSTAT)
DATA = os.urandom(200_000)


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


async def put(b, data=DATA, fid=1, path="/f"):
    client = await b.client()
    await client.put(path, b.cap(Op.CREATE, fid, path), data)
    return client


def test_the_answer_has_the_stat(bench):
    async def body(b):
        client = await put(b)
        for op, options, size in ((Op.READ, READ, len(DATA)), (Op.UPDATE, UPDATE, len(DATA))):
            request = rq.Open(NO_SID, "//f", f"cap={b.cap(op, 1, '/f')}", 0, options)
            fh, stat = bodies.parse_open(await client.ask(request))
            assert stat.size == size
            assert stat.id == 1
            await client.close(fh)
        request = rq.Open(NO_SID, "/f", f"cap={b.cap(Op.READ, 1, '/f')}", 0, int(OpenFlag.READ))
        assert bodies.parse_open(await client.ask(request))[1] is None
        mtime = b.mgm.commits[0].mtime_ns // 10**9
        read = await client.open("/f", b.cap(Op.READ, 1, "/f"))
        assert bodies.parse_stat(await client.ask(rq.Stat(NO_SID, fh=read))).mtime == mtime

    bench(body)


def test_capabilities_that_do_not_fit(bench):
    async def body(b):
        client = await put(b)
        now_s = b.worlds[0].clock.now_ns() // 10**9
        good = b.cap(Op.READ, 1, "/f")
        for cap in (
            b.cap(Op.READ, 1, "/other"),
            b.cap(Op.UPDATE, 1, "/f"),
            b.cap(Op.CREATE, 1, "/f"),
            b.cap(Op.CHECKSUM, 1, "/f"),
            b.cap(Op.READ, 1, "/f", node="elsewhere:1"),
            b.cap(Op.READ, 1, "/f", now_s=now_s + 1000),
            good[:-1] + ("A" if good[-1] != "A" else "B"),
            "x" + good[1:],
            "nonsense",
        ):
            with refused(errno.EACCES):
                await client.open("/f", cap)
        for op in (Op.READ, Op.TRUNCATE, Op.STAT):
            with refused(errno.EACCES):
                await client.open("/f", b.cap(op, 1, "/f"), UPDATE)
        other = await b.client(pid=8)
        fh = await client.open("/f", good)
        with refused(errno.EACCES):
            await other.open("/f", good)
        await client.open("/f", good)
        await client.close(fh)

    bench(body)


@pytest.mark.parametrize("op", [Op.CREATE, Op.UPDATE, Op.TRUNCATE])
def test_a_fan_out_token_is_for_the_head_only(bench, op):
    """Every client can read it out of its own ticket; it must open nothing to it."""

    async def body(b):
        client = await put(b)
        with refused(errno.EACCES):
            await client.open("/f", b.cap(op, 1, "/f", grant=b""), UPDATE)
        with refused(errno.EACCES):
            cap = b.cap(op, 1, "/f", grant=b"")
            await client.ask(rq.Truncate(NO_SID, "/f", f"cap={cap}", size=1))
        with refused(errno.EBADE):
            await b.client(user="_fst")
        assert b.files() == (["00000001"], [])

    bench(body)


@pytest.mark.parametrize("age", ["expired", "epoch"])
def test_an_old_ticket_leads_to_the_master(bench, age):
    async def body(b):
        client = await put(b)
        old = b.cap(Op.READ, 1, "/f", now_s=b.worlds[0].clock.now_ns() // 10**9 - 400)
        if age == "epoch":
            old = b.cap(Op.READ, 1, "/f")
            b.mgm.epoch = 2
            await b.mgm.until_beat(lambda beat: beat.epoch == 2)
        request = rq.Open(NO_SID, "/f", f"cap={old}", 0, READ)
        response = await client.connection.call(request, 10)
        assert response.status == Status.REDIRECT
        target = bodies.parse_redirect(bytes(response.body))
        assert f"{target.host}:{target.port}" == b.mgm.address
        b.fsts[0].parts.mgms.master = ""
        response = await client.connection.call(request, 10)
        assert response.status == Status.WAIT, "it comes again when there is a master"

    bench(body)


def test_an_upload_goes_on_under_a_new_master(bench):
    """Its ticket is of the old one; what is open stays open."""

    async def body(b):
        client = await b.client()
        fh = await client.open("/f", b.cap(Op.CREATE, 1, "/f"), NEW)
        b.mgm.epoch = 2
        await b.mgm.until_beat(lambda beat: beat.epoch == 2)
        await client.write(fh, 0, DATA)
        await client.close(fh)
        assert [commit.epoch for commit in b.mgm.commits] == [2]

    bench(body)


def test_another_fst_knows_a_later_epoch(bench):
    """The head sends the client back for a ticket that both take, and is not to blame."""

    async def body(b):
        client = await b.client()
        cap = b.cap(Op.CREATE, 1, "/f", others=[(1, 0)])
        b.fsts[1].parts.mgms.heard(2, b.mgm.address)
        request = rq.Open(NO_SID, "/f", f"cap={cap}", 0o600, NEW)
        response = await client.connection.call(request, 10)
        assert response.status == Status.REDIRECT
        assert bodies.parse_redirect(bytes(response.body)).cgi == ""
        b.mgm.epoch = 2
        fresh = b.cap(Op.CREATE, 2, "/f", others=[(1, 0)])
        await client.put("/f", fresh, DATA)
        (commit,) = b.mgm.commits
        assert len(commit.replicas) == 2

    bench(body, fsts=2)


def test_no_ticket_leads_to_the_master(bench):
    async def body(b):
        client = await b.client()
        await b.mgm.until_beat(lambda beat: True)
        response = await client.connection.call(rq.Open(NO_SID, "/f", "a=b", 0, READ), 10)
        assert response.status == Status.REDIRECT

    bench(body)


def test_bad_paths(bench):
    async def body(b):
        client = await b.client()
        for path in ("f", "/a/../f", "/a\0b"):
            with pytest.raises(OperationError):
                await client.open(path, b.cap(Op.READ, 1, path))
        assert b.files() == ([], [])

    bench(body)


def test_what_is_not_here(bench):
    async def body(b):
        client = await b.client()
        with refused(errno.ENOENT):
            await client.open("/f", b.cap(Op.READ, 9, "/f"))
        with refused(errno.ENODEV):
            await client.open("/f", b.cap(Op.READ, 9, "/f", fsid=77))
        with refused(errno.ENOENT):
            await client.open("/f", b.cap(Op.UPDATE, 9, "/f"), UPDATE)
        assert b.files() == ([], [])
        assert b.store().open_read == b.store().open_write == 0

    bench(body)


def test_a_node_that_is_switched_off(bench):
    async def body(b):
        client = await put(b)
        b.mgm.is_active = False
        await b.mgm.until_beat(lambda beat: not b.fsts[0].parts.heart.is_active)
        with refused(errno.ENODEV):
            await client.open("/f", b.cap(Op.READ, 1, "/f"))

    bench(body)


def test_full_and_read_only_disks(bench):
    async def body(b):
        client = await put(b)
        store = b.store()
        store.refresh_usage = lambda: asyncio.sleep(0)
        store.usage = DiskUsage(1000, 100, 10, 10)
        with refused(errno.ENOSPC):
            cap = b.cap(Op.CREATE, 2, "/g", booking_size=101)
            await client.open("/g", cap, NEW)
        fh = await client.open("/g", b.cap(Op.CREATE, 2, "/g", booking_size=60), NEW)
        with refused(errno.ENOSPC):
            cap = b.cap(Op.CREATE, 3, "/h", booking_size=60)
            await client.open("/h", cap, NEW)
        await client.write(fh, 0, bytes(50))
        assert store.booked_bytes == 10
        await client.close(fh)
        assert store.booked_bytes == 0
        store.usage = DiskUsage(1000, 100, 10, 10, read_only=True)
        with refused(errno.EROFS):
            await client.open("/h", b.cap(Op.CREATE, 3, "/h"), NEW)
        with refused(errno.EROFS):
            await client.open("/f", b.cap(Op.UPDATE, 1, "/f"), UPDATE)
        assert await client.get("/f", b.cap(Op.READ, 1, "/f")) == DATA
        assert b.files() == (["00000001", "00000002"], [])

    bench(body)


@pytest.mark.parametrize("step", ["create_marked", "size"])
def test_a_disk_that_fails_at_open_leaves_nothing(bench, step):
    async def fail(*_, **__):
        raise OperationError(errno.EIO, "bad disk")

    async def body(b):
        client = await b.client()
        disk = b.store().disk
        setattr(disk, step, fail)
        with refused(errno.EIO):
            await client.open("/f", b.cap(Op.CREATE, 1, "/f"), NEW)
        delattr(disk, step)
        assert b.store().state is BootState.OPSERROR
        assert b.store().open_write == 0
        assert len(b.fsts[0].parts.uploads) == 0

    bench(body)


@pytest.mark.parametrize("flags", [NEW, UPDATE])
def test_a_ticket_shown_again_after_the_commit_destroys_nothing(bench, flags):
    async def body(b):
        client = await b.client()
        cap = b.cap(Op.CREATE, 1, "/f")
        await client.put("/f", cap, DATA)
        with refused(errno.ESTALE):
            await client.open("/f", cap, flags)
        assert b.files() == (["00000001"], [])
        assert await client.get("/f", b.cap(Op.READ, 1, "/f")) == DATA

    bench(body)


# -- going on ------------------------------------------------------------------------------------
def test_a_client_comes_back_after_a_broken_connection(bench):
    async def body(b):
        cap = b.cap(Op.CREATE, 1, "/f")
        first = await b.client()
        fh = await first.open("/f", cap, NEW)
        await first.write(fh, 0, DATA[:100_000])
        first.connection.abort("cut")
        second = await b.client()
        fh = await second.open("/f", cap, UPDATE)
        stat = bodies.parse_stat(await second.ask(rq.Stat(NO_SID, fh=fh)))
        assert stat.size == 100_000
        await second.write(fh, 100_000, DATA[100_000:])
        await second.close(fh)
        assert await second.get("/f", b.cap(Op.READ, 1, "/f")) == DATA

    bench(body)


@pytest.mark.parametrize("ticket", ["same", "fresh"])
def test_a_client_comes_back_before_its_old_connection_is_seen_to_be_dead(bench, ticket):
    async def body(b):
        cap = b.cap(Op.CREATE, 1, "/f")
        first, second = await b.client(), await b.client()
        old = await first.open("/f", cap, NEW)
        await first.write(old, 0, DATA[:100_000])
        fh = await second.open("/f", cap if ticket == "same" else b.cap(Op.CREATE, 1, "/f"), UPDATE)
        with refused(errno.EBADF):
            await first.write(old, 0, b"too late")
        with refused(errno.EBADF):
            await first.close(old)
        await second.write(fh, 100_000, DATA[100_000:])
        await second.close(fh)
        assert await second.get("/f", b.cap(Op.READ, 1, "/f")) == DATA

    bench(body)


def test_a_fresh_open_begins_from_nothing(bench):
    async def body(b):
        cap = b.cap(Op.CREATE, 1, "/f")
        client = await b.client()
        fh = await client.open("/f", cap, NEW)
        await client.write(fh, 0, DATA)
        await client.put("/f", cap, b"short")
        assert await client.get("/f", b.cap(Op.READ, 1, "/f")) == b"short"

    bench(body)


def test_somebody_else_can_not_take_over(bench):
    async def body(b):
        await put(b)
        first, second = await b.client(), await b.client(user="else", pid=99)
        fh = await first.open("/f", b.cap(Op.UPDATE, 1, "/f"), UPDATE)
        with refused(errno.EDEADLK):
            await second.open("/f", b.cap(Op.UPDATE, 1, "/f"), UPDATE)
        await first.close(fh)
        fh = await second.open("/f", b.cap(Op.UPDATE, 1, "/f"), UPDATE)
        await second.close(fh)

    bench(body)


def test_two_opens_at_once(bench):
    async def body(b):
        client = await b.client()
        cap = b.cap(Op.CREATE, 1, "/f")
        handles = await asyncio.gather(*[client.open("/f", cap, NEW) for _ in range(5)])
        assert len(set(handles)) == 5
        writes = [client.write(fh, 0, b"x") for fh in handles]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert sum(result is None for result in results) == 1
        assert all(result.errno == errno.EBADF for result in results if result is not None)
        assert len(b.fsts[0].parts.uploads) == 1

    bench(body)


def test_an_open_while_the_file_is_being_closed(bench):
    async def body(b):
        b.mgm.is_silent = True
        client = await b.client()
        cap = b.cap(Op.CREATE, 1, "/f")
        fh = await client.open("/f", cap, NEW)
        closing = asyncio.ensure_future(client.close(fh))
        request = rq.Open(NO_SID, "/f", f"cap={cap}", 0, UPDATE)
        response = await client.connection.call(request, 10)
        assert response.status == Status.WAIT
        b.mgm.is_silent = False
        await closing

    bench(body)


@pytest.mark.parametrize("moment", ["sealing", "sealed"])
@pytest.mark.parametrize("options", [UPDATE, UPDATE | int(OpenFlag.DELETE)])
def test_an_open_that_comes_late_leaves_a_sealed_replica_alone(bench, moment, options):
    """The head opened it on a line that was dead, then on another one; the file is committed."""

    async def body(b):
        host, port = split_address(b.fsts[1].parts.node)
        late, prompt = [await b.fsts[0].parts._dial_peer(host, port) for _ in range(2)]
        cgi = f"cap={b.cap(Op.CREATE, 1, '/f', fst=1, grant=b'')}"
        fresh = UPDATE | int(OpenFlag.DELETE)
        opened = await ask(prompt, rq.Open(NO_SID, "/f", cgi, 0, fresh), 10)
        fh = bodies.parse_open(bytes(opened.body))[0]
        await ask(prompt, rq.Write(NO_SID, fh, 0, data=DATA), 10)
        store = b.store(1)
        go_on, sealed = asyncio.Event(), store.seal

        async def seal_later(*args):
            await go_on.wait()
            await sealed(*args)

        store.seal = seal_later
        order = rq.Query(NO_SID, QueryCode.OPAQUE_HANDLE, fh, encode_order(Seal(1)))
        sealing = asyncio.ensure_future(ask(prompt, order, 10))
        upload = b.fsts[1].parts.uploads.find(store.fsid, 1)
        async with asyncio.timeout(10):
            while not upload.is_sealing:
                await asyncio.sleep(0.005)
        if moment == "sealed":
            go_on.set()
            await sealing
        response = await late.call(rq.Open(NO_SID, "/f", cgi, 0, options), 10)
        assert response.status == Status.WAIT
        go_on.set()
        assert decode_outcome(bytes((await sealing).body)).size == len(DATA)
        keep = encode_order(Settle(True))
        await ask(prompt, rq.Query(NO_SID, QueryCode.OPAQUE_HANDLE, fh, keep), 10)
        assert b.files(1) == (["00000001"], [])
        assert (b.paths(1)[0] / "00000000" / "00000001").read_bytes() == DATA

    bench(body, fsts=2)


def test_a_client_that_left_during_the_open(bench):
    async def body(b):
        client = await b.client()
        store = b.store()
        real = store.disk.create_marked
        gate = asyncio.Event()

        async def slowly(*args, **kwargs):
            await gate.wait()
            return await real(*args, **kwargs)

        store.disk.create_marked = slowly
        opening = asyncio.ensure_future(client.open("/f", b.cap(Op.CREATE, 1, "/f"), NEW))
        await asyncio.sleep(0.05)
        client.connection.abort("gone")
        await asyncio.gather(opening, return_exceptions=True)
        await asyncio.sleep(0.05)
        gate.set()
        uploads = b.fsts[0].parts.uploads
        async with asyncio.timeout(10):
            while uploads.find(1, 1) is None or uploads.find(1, 1).writer is not None:
                await asyncio.sleep(0.01)

    bench(body)


def test_too_many_handles(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.handles.SESSION_HANDLES_MAX", 2)

    async def body(b):
        client = await put(b)
        handles = [await client.open("/f", b.cap(Op.READ, 1, "/f")) for _ in range(2)]
        with refused(errno.EUSERS):
            await client.open("/f", b.cap(Op.READ, 1, "/f"))
        await client.close(handles[0])
        await client.open("/f", b.cap(Op.READ, 1, "/f"))
        assert b.store().open_read == 2

    bench(body)


def test_everything_is_closed_when_the_client_goes(bench):
    async def body(b):
        client = await put(b)
        for _ in range(3):
            await client.open("/f", b.cap(Op.READ, 1, "/f"))
        assert b.store().open_read == 3
        await client.quit()
        async with asyncio.timeout(10):
            while b.store().open_read:
                await asyncio.sleep(0.01)
        assert b.store().disk._files == {}

    bench(body)
