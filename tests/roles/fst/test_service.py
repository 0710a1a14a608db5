"""An FST as a whole: requests find their parts, files go in and come out, it starts and stops."""

import asyncio
import errno
import os

import pytest

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.wire import bodies
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, FAttrCode, OpenFlag, PrepareFlag, Status
from thesan.io.transport.client import LoginSettings, dial
from thesan.roles.fst.fleet import Fleet

NEW = int(OpenFlag.NEW | OpenFlag.UPDATE)

DATA = os.urandom(3_000_001)


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


@pytest.mark.parametrize("path", ["/dir/file", "/with blank", "/ümläut", "/a&b", "/" + "n" * 255])
def test_a_file_in_and_out(bench, path):
    async def body(b):
        client = await b.client()
        await client.put(path, b.cap(Op.CREATE, 7, path), DATA)
        (commit,) = b.mgm.commits
        (replica,) = commit.replicas
        assert (replica.fsid, replica.size) == (1, len(DATA))
        assert b.files() == (["00000007"], [])
        assert await client.get(path, b.cap(Op.READ, 7, path)) == DATA
        assert (await b.store().fmd(7)).path == path

    bench(body)


def test_many_clients_at_once(bench):
    async def body(b):
        async def one(number):
            client = await b.client(pid=number)
            path, fid = f"/f{number}", number + 1
            await client.put(path, b.cap(Op.CREATE, fid, path), DATA[: number * 50_000])
            got = await client.get(path, b.cap(Op.READ, fid, path))
            assert got == DATA[: number * 50_000]

        await asyncio.gather(*[one(number) for number in range(30)])
        assert b.files()[1] == []
        assert b.store().used_files == len(b.mgm.commits) == 30

    bench(body)


def test_the_namespace_is_the_mgms(bench):
    async def body(b):
        client = await b.client()
        await b.mgm.until_beat(lambda beat: True)
        for request in (
            rq.DirList(NO_SID, "/"),
            rq.Mkdir(NO_SID, "/d"),
            rq.Rm(NO_SID, "/f"),
            rq.Rmdir(NO_SID, "/d"),
            rq.Mv(NO_SID, "/a", "/b"),
            rq.Chmod(NO_SID, "/f", mode=0o600),
            rq.StatX(NO_SID, ["/f"]),
            rq.Stat(NO_SID, "/f"),
            rq.Open(NO_SID, "/f"),
        ):
            response = await client.connection.call(request, 10)
            assert response.status == Status.REDIRECT, request
            target = bodies.parse_redirect(bytes(response.body))
            assert f"{target.host}:{target.port}" == b.mgm.address
        b.fsts[0].parts.mgms.master = ""
        with refused(errno.EHOSTUNREACH):
            await client.ask(rq.DirList(NO_SID, "/"))

    bench(body)


def test_small_requests(bench):
    async def body(b):
        client = await b.client()
        assert await client.ask(rq.Ping(NO_SID)) == b""
        assert await client.ask(rq.Set(NO_SID, args=b"appid test")) == b""
        ids = [await client.ask(rq.Prepare(NO_SID, int(PrepareFlag.STAGE), paths=["/f"]))
               for _ in range(2)]  # fmt: skip
        assert len(set(ids)) == 2
        cancel = rq.Prepare(NO_SID, int(PrepareFlag.CANCEL), paths=[ids[0].decode()])
        assert await client.ask(cancel) == b""
        with refused(errno.ENOTSUP):
            await client.ask(rq.FAttr(NO_SID, int(FAttrCode.LIST), "/f"))
        with refused(errno.EINVAL):
            await client.ask(rq.Truncate(NO_SID, "/f", "cap=x", size=-1))

    bench(body)


def test_requests_that_come_before_the_filesystems_are_told_to_wait(bench, monkeypatch):
    gate = asyncio.Event()
    real = Fleet.start

    async def slowly(self):
        await gate.wait()
        await real(self)

    async def body(b):
        monkeypatch.setattr(Fleet, "start", slowly)
        port = await b.kill()
        starting = asyncio.ensure_future(b.restart(port=port))
        await asyncio.sleep(0.05)
        connection = await dial("127.0.0.1", port, LoginSettings("early", 1))
        response = await connection.call(rq.Stat(NO_SID, "/f"), 10)
        assert response.status == Status.WAIT
        await connection.close()
        gate.set()
        await starting

    bench(body)


def test_an_fst_that_vanishes_without_a_word(bench, monkeypatch):
    """Its machine lost power: no FIN, no RST. The replica that it was writing must not stay."""
    monkeypatch.setattr("thesan.roles.fst.service.PEER_ALIVE_SECONDS", 0.05)
    monkeypatch.setattr("thesan.roles.fst.service.PEER_SILENCE_SECONDS_MAX", 0.3)

    async def body(b):
        client = await b.client()
        fh = await client.open("/f", b.cap(Op.CREATE, 1, "/f", others=[(1, 0)]), NEW)
        await client.write(fh, 0, DATA[:1000])
        assert b.files(1) == (["00000001"], ["00000001"])
        async with asyncio.timeout(20):
            while b.files(1) != ([], []):
                await asyncio.sleep(0.01)
        await client.write(fh, 1000, DATA[1000:2000])
        await client.close(fh)
        assert b.mgm.commits[0].failed_fsids == [2]

    bench(body, fsts=2, partial_seconds=0.1)


def test_stop_and_start_again_on_the_same_port(bench):
    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f"), DATA)
        port = b.fsts[0].port
        await b.fsts[0].stop()
        assert client.connection.is_closed
        await b.restart(port=port)
        client = await b.client()
        assert await client.get("/f", b.cap(Op.READ, 1, "/f")) == DATA

    bench(body)


def test_a_port_that_is_taken(bench):
    async def body(b):
        with pytest.raises(OSError):
            await b.start_fst(0, port=b.fsts[0].port)

    bench(body)
