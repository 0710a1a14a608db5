"""Every operation of the namespace, over the wire."""

import asyncio
import errno
import stat

import pytest

from thesan.core.control.messages import Admin, FileOp, Inquire
from thesan.core.model.errors import OperationError
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import Location
from thesan.core.wire.numbers import StatFlag


def test_names(cluster_run):
    async def test(cluster):
        fs = cluster.connect()
        await fs.mkdir("/a/b", 0o700, parents=True)
        await fs.mkdir("/a/b", parents=True)
        with pytest.raises(OperationError) as caught:
            await fs.mkdir("/a/b")
        assert caught.value.errno == errno.EEXIST
        cluster.put("/a/f", b"12345")
        info = await fs.stat("//a//f")
        assert (info.size, info.flags & StatFlag.IS_DIR) == (5, 0)
        assert await fs.is_dir("/a")
        assert not await fs.is_dir("/a/f")
        assert not await fs.is_dir("/none")
        assert await fs.exists("/a/f")
        assert not await fs.exists("/none")
        assert [entry.name for entry in await fs.ls("/a")] == ["b", "f"]
        entries = {entry.name: entry.stat for entry in await fs.ls("/a", stat=True)}
        assert entries["f"].size == 5
        assert entries["b"].flags & StatFlag.IS_DIR
        assert await fs.ls("/a/b") == []
        await fs.chmod("/a/f", 0o640)
        assert (await fs.stat("/a/f")).mode == 0o640
        await fs.truncate("/a/f", 2)
        assert (await fs.stat("/a/f")).size == 2
        await fs.mv("/a/f", "/a/g")
        with pytest.raises(OperationError):
            await fs.rmdir("/a")
        await fs.rm("/a/g")
        await fs.rmdir("/a/b")
        await fs.rmdir("/a")
        assert list(cluster.names) == ["/"]

    cluster_run(test)


def test_bad_paths_never_leave(cluster_run):
    async def test(cluster):
        fs = cluster.connect()
        for path in ("relative", "/a/../b", "/a\0b", "/" + "x" * 300):
            with pytest.raises(OperationError):
                await fs.stat(path)
        assert not cluster.mgm.seen

    cluster_run(test)


def test_links_and_owners_are_control_messages(cluster_run):
    async def test(cluster):
        fs = cluster.connect()
        cluster.put("/f", b"x")
        await fs.symlink("/f", "/l")
        await fs.link("/f", "/h")
        await fs.touch("/t")
        await fs.utime("/t", 5 * 10**9)
        assert await fs.readlink("/l") == "/f"
        assert (await fs.stat("/l")).size == 1
        assert (await fs.stat("/t")).mtime == 5
        assert stat.S_ISREG((await fs.lstat("/h"))["mode"])
        await fs.chown("/f", 5)
        await fs.chown("/f", gid=6)
        assert await fs.info("/f") == {}
        with pytest.raises(OperationError) as caught:
            await fs.readlink("/f")
        assert caught.value.errno == errno.EINVAL
        messages = cluster.control
        assert [message.args for message in messages if message.verb == "chown"] == [
            {"uid": 5},
            {"gid": 6},
        ]
        ids = [message.op_id for message in messages]
        assert all(ids)
        assert len(set(ids)) == len(ids)

    cluster_run(test)


def test_control_is_resent_under_one_id(cluster_run, faults):
    hang_up, _ = faults

    async def test(cluster):
        cluster.mgm.fail(rq.Query, hang_up, times=2)
        fs = cluster.connect()
        await fs.touch("/t")
        first, second, third = cluster.mgm.requests(rq.Query)
        assert first.args == second.args == third.args
        message = Admin("ns", "stat", op_id="mine")
        await fs.control(message)
        assert cluster.control[-1].op_id == "mine"
        with pytest.raises(OperationError):
            await fs.control(Inquire("n", 1, []))

    cluster_run(test)


def test_acting_as_another(cluster_run):
    async def test(cluster):
        fs = cluster.connect(act_as=(1, 2))
        await fs.file_op(FileOp("touch", "/t", {"mode": 0o600}))
        assert cluster.control[0].args == {"mode": 0o600, "act_as": [1, 2]}

    cluster_run(test)


def test_admin_records_of_all_pages(cluster_run):
    async def test(cluster):
        reply = await cluster.connect().admin("fs", "ls", space="x")
        assert reply.records == [{"page": 0}, {"page": 1}, {"page": 2}]
        assert [message.args["space"] for message in cluster.control] == ["x"] * 3

    cluster_run(test)


def test_extended_attributes(cluster_run):
    async def test(cluster):
        fs = cluster.connect()
        cluster.put("/f", b"")
        await fs.set_xattr("/f", "user.a", b"1")
        await fs.set_xattrs("/f", {f"user.n{n}": bytes([n]) for n in range(40)})
        assert len(cluster.mgm.requests(rq.FAttr)) == 4
        assert await fs.get_xattr("/f", "user.a") == b"1"
        assert (await fs.list_xattr("/f"))["user.n39"] == bytes([39])
        await fs.remove_xattr("/f", "user.a")
        for attempt in (fs.get_xattr("/f", "user.a"), fs.remove_xattr("/f", "user.a")):
            with pytest.raises(OperationError) as caught:
                await attempt
            assert caught.value.errno == errno.ENODATA

    cluster_run(test)


def test_questions(cluster_run):
    async def test(cluster):
        fs = cluster.connect()
        cluster.put("/f", b"hello")
        assert await fs.query_checksum("/f", "adler32") == ("adler32", "062c0215")
        assert await fs.query_config("version", "unknown") == {
            "version": "v1",
            "unknown": "unknown",
        }
        assert (await fs.locate("/f"))[0] == Location(str(cluster.fsts[0].endpoint))

    cluster_run(test)


def test_many_calls_share_one_connection(cluster_run):
    async def test(cluster):
        async with cluster.connect() as fs:
            results = await asyncio.gather(*(fs.stat("/") for _ in range(500)))
            assert len(results) == 500
            assert cluster.mgm.listener.connection_count == 1
        while cluster.mgm.listener.connection_count:
            await asyncio.sleep(0.001)

    cluster_run(test)


def test_find_and_remove_are_methods(cluster_run):
    async def test(cluster):
        fs = cluster.connect()
        cluster.put("/d/e/f", b"1")
        assert [entry.path async for entry in fs.find("/")] == ["/d", "/d/e", "/d/e/f"]
        assert await fs.remove_tree("/d") == 3

    cluster_run(test)
