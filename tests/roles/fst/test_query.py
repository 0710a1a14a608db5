"""What an FST says of itself, and checksums by path and by handle."""

import errno
import os

import pytest
from google_crc32c import value as crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.wire import bodies
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, OpenFlag, QueryCode, StatFlag, StatOption, Status

NEW = int(OpenFlag.NEW | OpenFlag.UPDATE)
DATA = os.urandom(100_000)
SUMS = {"adler32": f"{adler32(DATA):08x}", "crc32c": f"{crc32c(DATA):08x}"}


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


async def put(b):
    client = await b.client()
    await client.put("/f", b.cap(Op.CREATE, 1, "/f"), DATA)
    return client


@pytest.mark.parametrize("separator", [" ", "\n"])
def test_config(bench, separator):
    async def body(b):
        client = await b.client()
        keys = [
            "version", "chksum", "role", "tpc", "tpcdlg", "bind_max", "readv_ior_max",
            "readv_iov_max", "sitename", "nonsense",
        ]  # fmt: skip
        answer = await client.query(QueryCode.CONFIG, separator.join(keys).encode())
        values = dict(zip(keys, bodies.parse_config(answer), strict=True))
        assert values["version"].startswith("v")
        assert values["role"] == "server"
        assert values["tpc"] == "1"
        assert values["chksum"] == "0:adler32,1:crc32c"
        assert (values["readv_ior_max"], values["readv_iov_max"]) == ("2097136", "1024")
        assert values["sitename"] == "CERN"
        assert (values["nonsense"], values["tpcdlg"]) == ("nonsense", "tpcdlg")
        assert int(values["bind_max"]) > 0

    bench(body, sitename="CERN")


def test_space_vfs_and_statistics(bench):
    async def body(b):
        client = await b.client()
        text = (await client.query(QueryCode.SPACE, b"/")).decode()
        values = dict(pair.split("=") for pair in text.rstrip("\0").split("&"))
        assert int(values["oss.space"]) == int(values["oss.free"]) + int(values["oss.used"])
        answer = await client.ask(rq.Stat(NO_SID, "/", options=int(StatOption.VFS)))
        vfs = bodies.parse_vfs(answer)
        assert vfs.rw_free_mib == int(values["oss.free"]) >> 20
        assert 0 <= vfs.rw_use <= 100
        assert (await client.query(QueryCode.STATS, b"a")).startswith(b"<statistics ")

    bench(body)


@pytest.mark.parametrize("kind", ["adler32", "crc32c", "adler", ""])
@pytest.mark.parametrize("record", ["kept", "lost", "wrong size"])
def test_checksum_by_path(bench, kind, record):
    async def body(b):
        client = await put(b)
        if record != "kept":
            path = b.paths(0)[0] / "00000000" / "00000001"
            if record == "lost":
                os.removexattr(path, "user.thesan.fmd")
            else:
                with path.open("ab") as file:
                    file.write(b"more")
        for op in (Op.CHECKSUM, Op.READ):
            cks = f"cks.type={kind}&" if kind else ""
            args = f"/f?{cks}cap={b.cap(op, 1, '/f')}".encode()
            name, value = bodies.parse_checksum(await client.query(QueryCode.CHECKSUM, args))
            data = DATA + b"more" if record == "wrong size" else DATA
            wanted = crc32c(data) if kind == "crc32c" else adler32(data)
            assert (name, value) == (
                "crc32c" if kind == "crc32c" else "adler32",
                f"{wanted:08x}",
            )

    bench(body)


def test_checksum_by_handle(bench):
    async def body(b):
        client = await put(b)
        reader = await client.open("/f", b.cap(Op.READ, 1, "/f"))
        writer = await client.open("/g", b.cap(Op.CREATE, 2, "/g"), NEW)
        await client.write(writer, 50_000, DATA[50_000:])
        await client.write(writer, 0, DATA[:50_000])
        for fh in (reader, writer):
            for kind, value in SUMS.items():
                args = f"?cks.type={kind}".encode()
                answer = await client.query(QueryCode.CHECKSUM, args, fh)
                assert bodies.parse_checksum(answer) == (kind, value)
        await client.close(writer)

    bench(body)


def test_checksums_that_are_refused(bench):
    async def body(b):
        client = await put(b)
        with refused(errno.ENOTSUP):
            args = f"/f?cks.type=md5&cap={b.cap(Op.CHECKSUM, 1, '/f')}".encode()
            await client.query(QueryCode.CHECKSUM, args)
        with refused(errno.EACCES):
            args = f"/f?cap={b.cap(Op.UPDATE, 1, '/f')}".encode()
            await client.query(QueryCode.CHECKSUM, args)
        with refused(errno.EBADF):
            await client.query(QueryCode.CHECKSUM, b"", 99)
        with refused(errno.ENOENT):
            args = f"/x?cap={b.cap(Op.CHECKSUM, 5, '/x')}".encode()
            await client.query(QueryCode.CHECKSUM, args)

    bench(body)


def test_stat_by_path_and_handle(bench):
    async def body(b):
        client = await put(b)
        for op in (Op.STAT, Op.READ, Op.UPDATE):
            request = rq.Stat(NO_SID, "/f", f"cap={b.cap(op, 1, '/f')}")
            stat = bodies.parse_stat(await client.ask(request))
            assert (stat.id, stat.size, stat.flags) == (1, len(DATA), int(StatFlag.READABLE))
            assert stat.mtime == b.mgm.commits[0].mtime_ns // 10**9
        with refused(errno.ENOENT):
            await client.ask(rq.Stat(NO_SID, "/x", f"cap={b.cap(Op.CREATE, 9, '/x')}"))
        writer = await client.open("/g", b.cap(Op.CREATE, 2, "/g"), NEW)
        await client.write(writer, 10, b"x")
        stat = bodies.parse_stat(await client.ask(rq.Stat(NO_SID, fh=writer)))
        assert (stat.size, stat.flags) == (11, int(StatFlag.READABLE | StatFlag.WRITABLE))
        with refused(errno.EBADF):
            await client.ask(rq.Stat(NO_SID, fh=99))

    bench(body)


def test_locate_says_this_server(bench):
    async def body(b):
        client = await b.client()
        for path in ("*", "/f", "*/f"):
            answer = await client.ask(rq.Locate(NO_SID, path))
            (location,) = bodies.parse_locate(answer)
            assert location.address == b.fsts[0].parts.node
            assert not location.manager
            assert location.writable

    bench(body)


def test_what_is_not_served(bench):
    async def body(b):
        client = await b.client()
        for kind in (QueryCode.XATTR, QueryCode.VISA, QueryCode.OPAQUE, 99):
            with refused(errno.ENOTSUP):
                await client.query(kind, b"x")
        response = await client.connection.call(
            rq.Query(NO_SID, QueryCode.CHECKSUM, args=b"/f"), 10
        )
        assert response.status == Status.REDIRECT

    bench(body)
