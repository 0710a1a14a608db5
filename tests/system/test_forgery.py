"""Forged, stolen and stale capabilities, and paths that want out: the live FST gives nothing."""

import asyncio
import errno
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from thesan.cli.keytab import read_keytab
from thesan.core.authority.capability import CGI_KEY, Capability, Op, Signer, hash_path
from thesan.core.model.errors import OperationError
from thesan.core.model.paths import parse_cgi
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import parse_open, parse_redirect
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import NO_SID, OpenFlag, QueryCode, Status
from thesan.io.transport.client import ClientConnection, LoginSettings, dial, error_of
from thesan.io.transport.credentials import host, unix

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.xdist_group("machine")]

CONTENT = b"nobody else's business"
CALL_SECONDS_MAX = 10.0
MUTATIONS = 500
READ = int(OpenFlag.READ)
WRITE = int(OpenFlag.DELETE | OpenFlag.UPDATE)
UPDATE = int(OpenFlag.UPDATE)


class Visits:
    """Logged-in connections, all closed at the end."""

    def __init__(self) -> None:
        self._made: list[ClientConnection] = []

    async def __aenter__(self) -> "Visits":
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._made:
            await connection.close()

    async def enter(self, address: str, user: str = "root", pid: int = 4711) -> ClientConnection:
        name, _, port = address.rpartition(":")
        login = LoginSettings(user=user, pid=pid, methods=(unix(user, user), host()))
        self._made.append(await dial(name, int(port), login))
        return self._made[-1]


async def visiting(scenario: Callable[[Visits], Awaitable[None]]) -> None:
    """Run it with connections."""
    async with Visits() as visits:
        await scenario(visits)


async def ticket(mgm: ClientConnection, path: str, flags: int) -> tuple[str, str]:
    """(address of the FST, capability) as the MGM gives it to a real client."""
    response = await mgm.call(rq.Open(NO_SID, path, "", 0o644, flags), CALL_SECONDS_MAX)
    assert response.status == Status.REDIRECT, error_of(response)
    redirect = parse_redirect(bytes(response.body))
    return f"{redirect.host}:{redirect.port}", parse_cgi(redirect.cgi)[CGI_KEY]


async def show(fst: ClientConnection, path: str, capability: str, flags: int = READ) -> Response:
    """Open with a capability."""
    cgi = f"{CGI_KEY}={capability}" if capability else ""
    return await fst.call(rq.Open(NO_SID, path, cgi, 0o644, flags), CALL_SECONDS_MAX)


def is_refused(response: Response, *errnos: int) -> bool:
    """An error, or sent back to the MGM; never a handle."""
    if response.status == Status.REDIRECT:
        return CGI_KEY not in parse_cgi(parse_redirect(bytes(response.body)).cgi)
    return response.status == Status.ERROR and (not errnos or error_of(response).errno in errnos)


async def store(instance: Any, path: str) -> None:
    async with instance.client() as fs, await fs.open(path, "w", parents=True) as file:
        await file.write(0, CONTENT)


async def unharmed(instance: Any, path: str) -> None:
    async with instance.client() as fs, await fs.open(path) as file:
        assert bytes(await file.read()) == CONTENT


def test_capabilities_at_a_live_fst(start_instance: Any) -> None:
    instance = start_instance(fsts=2)
    dice = random.Random(3)

    async def scenario(visits: Visits) -> None:
        await store(instance, "/secret/f")
        await store(instance, "/secret/other")
        mgm = await visits.enter(instance.plan.mgms[0])
        address, good = await ticket(mgm, "/secret/f", READ)
        elsewhere = next(fst for fst in instance.plan.fsts if fst != address)
        fst, wrong_fst = await visits.enter(address), await visits.enter(elsewhere)
        body, _, mac = good.partition(".")
        _, other = await ticket(mgm, "/secret/other", READ)
        other_body, _, other_mac = other.partition(".")

        refusals = {
            "none": await show(fst, "/secret/f", ""),
            "wrong FST": await show(wrong_fst, "/secret/f", good),
            "wrong path": await show(fst, "/secret/other", good),
            "its path with a tail": await show(fst, "/secret/f/", good + "x"),
            "writing with a read ticket": await show(fst, "/secret/f", good, WRITE),
            "updating with a read ticket": await show(fst, "/secret/f", good, UPDATE),
            "no signature": await show(fst, "/secret/f", body),
            "empty signature": await show(fst, "/secret/f", body + "."),
            "another ticket's signature": await show(fst, "/secret/f", f"{body}.{other_mac}"),
            "another ticket's body": await show(fst, "/secret/f", f"{other_body}.{mac}"),
        }
        head, create = await ticket(mgm, "/secret/new", WRITE)
        refusals["reading with a ticket to create"] = await show(
            await visits.enter(head), "/secret/new", create
        )
        for what, response in refusals.items():
            assert is_refused(response), what

        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
        for _ in range(MUTATIONS):
            at = dice.randrange(len(good))
            letter = dice.choice([one for one in alphabet if one != good[at]])
            forged = good[:at] + letter + good[at + 1 :]
            assert is_refused(await show(fst, "/secret/f", forged)), forged

        # The real one still works, for whoever showed it first, and for nobody else.
        assert (await show(fst, "/secret/f", good)).status == Status.OK
        assert (await show(fst, "/secret/f", good)).status == Status.OK
        for thief in (
            await visits.enter(address, "thief"),
            await visits.enter(address, "root", 4712),
        ):
            assert is_refused(await show(thief, "/secret/f", good), errno.EACCES)
        await unharmed(instance, "/secret/f")

    asyncio.run(visiting(scenario))


def test_stale_capabilities_send_back_to_the_mgm(start_instance: Any) -> None:
    """Signed with the real key, which only a daemon has."""
    instance = start_instance(fsts=1)

    async def scenario(visits: Visits) -> None:
        await store(instance, "/f")
        now_s = int(time.time())
        signer = Signer(read_keytab(instance.root / "keytab").newest(now_s).secret)
        async with instance.client() as fs:
            info = await fs.info("/f")
        address = instance.plan.fsts[0]
        fst = await visits.enter(address)
        good = Capability(
            op=Op.READ, fid=info["fid"], node=address, fsid=info["fsids"][0],
            path_hash=hash_path("/f"), layout=info["layout"], uid=0, gid=0, epoch=1 << 30,
            issued_s=now_s, expires_s=now_s + 60, nonce=os.urandom(12),
        )  # fmt: skip
        cases = {
            "expired": {"issued_s": now_s - 200, "expires_s": now_s - 100},
            "of an old epoch": {"epoch": 0},
            "from the future": {"issued_s": now_s + 200, "expires_s": now_s + 260},
            "living too long": {"expires_s": now_s + 100_000},
            "for a filesystem that is not here": {"fsid": 999},
            "for a file that is not here": {"fid": 1 << 40},
            "with a short nonce": {"nonce": b"x"},
            "of an unknown version": {"version": 99},
        }
        for what, change in cases.items():
            nonce = {"nonce": os.urandom(12)} if "nonce" not in change else {}
            text = signer.sign(msgspec.structs.replace(good, **nonce, **change))
            assert is_refused(await show(fst, "/f", text)), what
        response = await show(fst, "/f", signer.sign(good))
        assert response.status == Status.OK, error_of(response)
        handle, _ = parse_open(bytes(response.body))
        data = await fst.call(rq.Read(NO_SID, handle, 0, 100), CALL_SECONDS_MAX)
        assert bytes(data.body) == CONTENT

    asyncio.run(visiting(scenario))


def test_requests_at_an_fst_without_a_capability(start_instance: Any) -> None:
    instance = start_instance(fsts=1)

    async def scenario(visits: Visits) -> None:
        await store(instance, "/f")
        address = instance.plan.fsts[0]
        fst = await visits.enter(address)
        (data,) = instance.data_files().values()
        paths = ["/f", str(data), "/../../../../etc/passwd", "/.thesan/uuid", f"/{data.name}"]
        for path in paths:
            for request in (
                rq.Open(NO_SID, path, "", 0o644, READ),
                rq.Open(NO_SID, path, "", 0o644, WRITE),
                rq.Truncate(NO_SID, path, "", 0, 0),
                rq.Rm(NO_SID, path),
                rq.Mv(NO_SID, path, "/g"),
                rq.Query(NO_SID, QueryCode.CHECKSUM, args=path.encode()),
                rq.DirList(NO_SID, path),
                rq.Mkdir(NO_SID, path),
                rq.Chmod(NO_SID, path, "", 0o777),
            ):
                response = await fst.call(request, CALL_SECONDS_MAX)
                assert is_refused(response), f"{request}: {response}"
        # A handle that was never given, and one of another session.
        for handle in (0, 1, 7, 0xFFFFFFFF):
            for request in (
                rq.Read(NO_SID, handle, 0, 100),
                rq.Write(NO_SID, handle, 0, data=b"x"),
                rq.Close(NO_SID, handle),
                rq.Truncate(NO_SID, fh=handle, size=0),
            ):
                response = await fst.call(request, CALL_SECONDS_MAX)
                assert is_refused(response, errno.EBADF, errno.EINVAL), f"{request}: {response}"
        await unharmed(instance, "/f")

    asyncio.run(visiting(scenario))


TRICKS = (
    "/..", "/../../../../../../tmp/escape", "/a/../../../escape", "//a//..//..//escape", "/a/./b",
    "/a\0b", "/a\0/../../b", "/.thesan/fsid", "/a%2e%2e/%2e%2e/b", "/a\n/b", "/\udc80x",
    "/" + "a" * 256,
    "/" + "d/" * 3000, "/~/x", "/$(id)", "/a;b|c", "/00000000/00000001", "/\u202e/x", "a/b", "../x",
)  # fmt: skip


def _shot(root: Path) -> dict[str, bytes]:
    """Everything that is not on a filesystem of an FST, in the store or in the journal."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not path.relative_to(root).parts[0].startswith(("fst", "mgm", "journal", "state"))
        and path.suffix != ".log"
    }


def test_paths_that_want_out(start_instance: Any) -> None:
    instance = start_instance(fsts=1)
    canary = instance.root / "canary"
    canary.write_bytes(b"stays")
    around = set(instance.root.parent.iterdir())
    before = _shot(instance.root)

    async def scenario(visits: Visits) -> None:
        pid = instance.pid("mgm1")
        async with instance.client(patience_s=10) as fs:
            await fs.mkdir("/a")
            for number, target in enumerate((str(canary), "../" * 20 + str(canary), "..", "/")):
                await fs.symlink(target, f"/link{number}")
            for path in ("/link0", "/link1", f"/link2{canary}", f"/link3{canary}", str(canary)):
                with pytest.raises(OperationError) as caught:
                    await fs.open(path)
                assert caught.value.errno in (errno.ENOENT, errno.ENOTDIR), path
        mgm = await visits.enter(instance.plan.mgms[0])
        accepted = []
        for path in TRICKS:
            for request in (
                rq.Open(NO_SID, path, "", 0o644, WRITE | int(OpenFlag.MKPATH)),
                rq.Open(NO_SID, path, "", 0o644, READ),
                rq.Mkdir(NO_SID, path, "", 0o755, 1),
                rq.Stat(NO_SID, path),
                rq.Mv(NO_SID, "/a", path),
                rq.Rm(NO_SID, path),
                rq.DirList(NO_SID, path),
            ):
                try:
                    response = await mgm.call(request, CALL_SECONDS_MAX)
                except (UnicodeEncodeError, OperationError):
                    mgm = await visits.enter(instance.plan.mgms[0])
                    continue
                if response.status in (Status.OK, Status.REDIRECT):
                    accepted.append((type(request).__name__, path))
                if response.status == Status.REDIRECT:
                    await _write(visits, response, path)
        assert instance.pid("mgm1") == pid
        async with instance.client() as fs:
            for entry in await fs.ls("/"):
                assert entry.name not in ("", ".", "..")
                assert "/" not in entry.name
                assert "\0" not in entry.name
        assert not [path for _, path in accepted if "\0" in path or "\udc80" in path], accepted

    asyncio.run(visiting(scenario))
    assert _shot(instance.root) == before
    assert set(instance.root.parent.iterdir()) == around
    assert not Path("/tmp/escape").exists()
    assert not (instance.root.parent / "escape").exists()
    for fs_root in instance.root.glob("fst*/fs*"):
        names = {path.name for path in fs_root.iterdir()}
        assert all(name == ".thesan" or int(name, 16) >= 0 for name in names), names


async def _write(visits: Visits, response: Response, path: str) -> None:
    """Follow a redirect of an open: what was accepted is stored, wherever that is."""
    redirect = parse_redirect(bytes(response.body))
    fst = await visits.enter(f"{redirect.host}:{redirect.port}")
    opened = await fst.call(rq.Open(NO_SID, path, redirect.cgi, 0o644, WRITE), CALL_SECONDS_MAX)
    if opened.status == Status.OK:
        handle, _ = parse_open(bytes(opened.body))
        await fst.call(rq.Write(NO_SID, handle, 0, data=b"data"), CALL_SECONDS_MAX)
        await fst.call(rq.Close(NO_SID, handle), CALL_SECONDS_MAX)
