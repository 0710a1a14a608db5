"""What becomes of unfinished uploads: each kind of leftover, as a crash would leave it."""

import asyncio
import errno
import os

import msgspec
import pytest
from google_crc32c import value as crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.authority.capability import Op
from thesan.core.control.messages import Commit, ReplicaCommit, encode_request
from thesan.core.model.errors import OperationError
from thesan.core.wire import bodies
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, OpenFlag
from thesan.roles.fst import records
from thesan.roles.fst.records import Marker, MarkerState

NEW = int(OpenFlag.NEW | OpenFlag.UPDATE)
UPDATE = int(OpenFlag.UPDATE)
DATA = os.urandom(100_000)
GRANT = (1).to_bytes(8, "big")


async def until_resolved(b, index=0):
    async with asyncio.timeout(20):
        parts = b.fsts[index].parts
        while len(parts.recovery) or len(parts.uploads) or b.files(index)[1]:
            await asyncio.sleep(0.01)


def marker(**changes):
    fields = {
        "state": MarkerState.OPEN,
        "op": Op.CREATE,
        "fid": 1,
        "fsid": 1,
        "path": "/f",
        "is_head": True,
        "uid": 1,
        "gid": 1,
        "layout": 0,
        "grant": GRANT,
    }
    return Marker(**{**fields, **changes})


def leave(b, content, mark):
    """Put a data file and a marker on the first filesystem."""
    root = b.paths(0)[0]
    if content is not None:
        (root / "00000000").mkdir(exist_ok=True)
        (root / "00000000" / "00000001").write_bytes(content)
    pending = root / ".thesan" / "pending"
    pending.mkdir(parents=True, exist_ok=True)
    encoded = records.encode_marker(mark) if isinstance(mark, Marker) else mark
    (pending / "00000001").write_bytes(encoded)


def content(b):
    path = b.paths(0)[0] / "00000000" / "00000001"
    return path.read_bytes() if path.exists() else None


def commit_of(data, failed=()):
    replica = ReplicaCommit(1, len(data), adler32(data), crc32c(data))
    return Commit("node", GRANT, [replica], 5, list(failed))


async def boot_with(b, data, mark, *, known=False):
    await b.kill()
    leave(b, data, mark)
    if known:
        b.mgm.known.add((1, 1))
    await b.restart(partial_seconds=0.0)
    await until_resolved(b)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("mark", [marker(), marker(is_head=False), b"", b"torn"])
def test_a_new_file_is_kept_if_the_mgm_knows_it(bench, mark, known):
    async def body(b):
        await boot_with(b, DATA, mark, known=known)
        assert content(b) == (DATA if known else None)
        assert b.mgm.commits == []

    bench(body)


def test_a_marker_without_data(bench):
    async def body(b):
        await boot_with(b, None, marker())
        assert b.files() == ([], [])

    bench(body)


def test_a_commit_is_delivered(bench):
    async def body(b):
        blob = encode_request(commit_of(DATA))
        await boot_with(b, DATA, marker(state=MarkerState.COMMITTING, commit=blob))
        here = b.fsts[0].parts.node
        sent_now = msgspec.structs.replace(commit_of(DATA), epoch=b.mgm.epoch, node=here)
        assert b.mgm.epoch > 0, "the commit in the marker is of no epoch"
        assert here != commit_of(DATA).node, "the disk was moved here from another FST"
        (sent,) = b.mgm.commits
        # The first beat may not be answered yet: then it is of no epoch, and an MGM asks again.
        assert msgspec.structs.replace(sent, epoch=b.mgm.epoch) == sent_now
        async with asyncio.timeout(20):
            while b.fsts[0].parts.heart.epoch != b.mgm.epoch:
                await asyncio.sleep(0.01)
        assert b.fsts[0].parts.recovery._stamped(commit_of(DATA)) == sent_now
        assert content(b) == DATA

    bench(body)


def test_a_commit_that_is_refused(bench):
    async def body(b):
        b.mgm.refusal = OperationError(errno.EEXIST, "no")
        blob = encode_request(commit_of(DATA))
        await boot_with(b, DATA, marker(state=MarkerState.COMMITTING, commit=blob))
        assert content(b) is None

    bench(body)


def test_a_commit_that_leaves_this_replica_out(bench):
    """Delivered by another replica in another form: the MGM's word counts."""

    async def body(b):
        commit = Commit("node", GRANT, [ReplicaCommit(2, 1, 1, 1)], 5, [1])
        mark = marker(state=MarkerState.COMMITTING, commit=encode_request(commit))
        await boot_with(b, DATA, mark)
        assert content(b) is None

    bench(body)


@pytest.mark.parametrize("ending", ["known", "known later", "unknown"])
def test_a_sealed_replica_gives_its_head_time_to_commit(bench, monkeypatch, ending):
    monkeypatch.setattr("thesan.roles.fst.recovery.COMMIT_SETTLE_SECONDS", 0.3)

    async def body(b):
        await b.kill()
        leave(b, DATA, marker(state=MarkerState.SEALED, is_head=False, grant=b""))
        if ending == "known":
            b.mgm.known.add((1, 1))
        await b.restart()
        if ending == "known later":
            while not b.mgm.inquiries:
                await asyncio.sleep(0.01)
            assert content(b) == DATA
            b.mgm.known.add((1, 1))
        await until_resolved(b)
        assert content(b) == (None if ending == "unknown" else DATA)
        assert b.mgm.commits == []

    bench(body)


def test_a_commit_that_can_not_be_read(bench):
    async def body(b):
        mark = marker(state=MarkerState.COMMITTING, commit=b"nonsense")
        await boot_with(b, DATA, mark, known=True)
        assert content(b) == DATA

    bench(body)


@pytest.mark.parametrize("others", [(), (2, 3)])
def test_a_file_changed_in_place_is_committed_as_it_is(bench, others):
    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f"), DATA)
        changed = b"new" + DATA[3:]
        await boot_with(b, changed, marker(op=Op.UPDATE, other_fsids=others))
        commit = b.mgm.commits[-1]
        assert commit.grant == GRANT
        assert commit.replicas == [
            ReplicaCommit(1, len(changed), adler32(changed), crc32c(changed))
        ]
        assert commit.failed_fsids == list(others)
        assert content(b) == changed
        fmd = await b.store().fmd(1)
        assert (fmd.size, fmd.adler32) == (len(changed), adler32(changed))

    bench(body)


@pytest.mark.parametrize("others", [(), (2, 3)])
def test_a_file_that_was_only_opened_for_change(bench, others):
    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f"), DATA)
        await boot_with(b, None, marker(op=Op.UPDATE, other_fsids=others))
        # With other replicas nobody knows what they got: they are given up, and repaired later.
        assert len(b.mgm.commits) == (2 if others else 1)
        assert content(b) == DATA

    bench(body)


@pytest.mark.parametrize("known", [True, False])
def test_somebody_elses_update(bench, known):
    async def body(b):
        await boot_with(b, DATA, marker(op=Op.UPDATE, is_head=False, grant=b""), known=known)
        assert content(b) == (DATA if known else None)
        assert b.mgm.commits == []
        if known:
            assert (await b.store().fmd(1)).adler32 == adler32(DATA)

    bench(body)


def test_an_update_of_a_file_that_is_gone(bench):
    async def body(b):
        await boot_with(b, None, marker(op=Op.UPDATE))
        assert b.files() == ([], [])

    bench(body)


def test_nothing_is_removed_while_no_mgm_answers(bench):
    async def body(b):
        b.mgm.is_silent = True
        await b.kill()
        leave(b, DATA, marker())
        await b.restart(partial_seconds=0.0)
        await asyncio.sleep(0.3)
        assert content(b) == DATA
        b.mgm.is_silent = False
        await until_resolved(b)
        assert content(b) is None

    bench(body)


# -- clients that come back ----------------------------------------------------------------------
def test_an_upload_goes_on_after_a_restart(bench):
    async def body(b):
        client = await b.client()
        cap = b.cap(Op.CREATE, 1, "/f")
        fh = await client.open("/f", cap, NEW)
        await client.write(fh, 0, DATA[:60_000])
        await b.kill()
        await b.restart()
        client = await b.client()
        fh = await client.open("/f", cap, UPDATE)
        stat = bodies.parse_stat(await client.ask(rq.Stat(NO_SID, fh=fh)))
        assert stat.size == 60_000
        await client.write(fh, 60_000, DATA[60_000:])
        await client.close(fh)
        assert b.mgm.commits == [
            Commit(
                b.fsts[0].parts.node,
                GRANT,
                [ReplicaCommit(1, len(DATA), adler32(DATA), crc32c(DATA))],
                b.mgm.commits[0].mtime_ns,
                [],
                1,
            )
        ]
        assert content(b) == DATA
        assert b.files()[1] == []

    bench(body)


def test_an_upload_with_replicas_goes_on_after_a_restart(bench):
    async def body(b):
        client = await b.client()
        cap = b.cap(Op.CREATE, 1, "/f", others=[(1, 0)])
        fh = await client.open("/f", cap, NEW)
        await client.write(fh, 0, DATA[:60_000])
        await b.kill()
        await b.restart()
        client = await b.client()
        fh = await client.open("/f", cap, UPDATE)
        await client.write(fh, 60_000, DATA[60_000:])
        await client.close(fh)
        assert [replica.fsid for replica in b.mgm.commits[0].replicas] == [1, 2]
        assert b.mgm.commits[0].failed_fsids == []
        await until_resolved(b, 1)
        path = b.paths(1)[0] / "00000000" / "00000001"
        assert path.read_bytes() == content(b) == DATA

    bench(body, fsts=2)


@pytest.mark.parametrize("writes", [True, False])
def test_an_update_goes_on_after_a_restart(bench, writes):
    """What was answered before the restart is committed, also if nothing more is written."""

    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f", others=[(1, 0)]), DATA)
        await until_resolved(b, 1)
        cap = b.cap(Op.UPDATE, 1, "/f", others=[(1, 0)])
        fh = await client.open("/f", cap, UPDATE)
        await client.write(fh, 0, b"before")
        await b.kill()
        await b.restart()
        client = await b.client()
        fh = await client.open("/f", cap, UPDATE)
        wanted = b"before" + DATA[6:]
        if writes:
            await client.write(fh, 6, b"after")
            wanted = b"beforeafter" + DATA[11:]
        await client.close(fh)
        commit = b.mgm.commits[-1]
        assert len(b.mgm.commits) == 2
        assert [(one.fsid, one.adler32) for one in commit.replicas] == [
            (1, adler32(wanted)),
            (2, adler32(wanted)),
        ]
        assert content(b) == wanted

    bench(body, fsts=2)


def test_who_goes_on_with_an_update_leaves_its_own_marker(bench):
    """After a second crash the commit must carry the grant under which the file was changed."""

    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f"), DATA)
        await client.open("/f", b.cap(Op.UPDATE, 1, "/f", grant=b"old grant"), UPDATE)
        assert (await b.store().read_marker(1)).grant == b"old grant"
        await b.kill()
        await b.restart(partial_seconds=60.0)
        client = await b.client()
        await client.open("/f", b.cap(Op.UPDATE, 1, "/f"), UPDATE)
        assert (await b.store().read_marker(1)).grant == GRANT

    bench(body)


def test_a_client_that_does_not_come_back(bench):
    async def body(b):
        client = await b.client()
        fh = await client.open("/f", b.cap(Op.CREATE, 1, "/f", others=[(1, 0)]), NEW)
        await client.write(fh, 0, DATA)
        client.connection.abort("gone")
        await until_resolved(b, 0)
        await until_resolved(b, 1)
        assert b.files(0) == b.files(1) == ([], [])
        assert b.mgm.commits == []

    bench(body, fsts=2, partial_seconds=0.05)


def test_an_abandoned_update_is_committed_as_it_is(bench):
    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f", others=[(1, 0)]), DATA)
        fh = await client.open("/f", b.cap(Op.UPDATE, 1, "/f", others=[(1, 0)]), UPDATE)
        await client.write(fh, 0, b"new")
        client.connection.abort("gone")
        await until_resolved(b, 0)
        await until_resolved(b, 1)
        commit = b.mgm.commits[-1]
        assert [replica.fsid for replica in commit.replicas] == [1, 2]
        assert commit.replicas[0].adler32 == adler32(b"new" + DATA[3:])

    bench(body, fsts=2, partial_seconds=0.05)


def test_a_client_that_comes_too_late(bench):
    async def body(b):
        cap = b.cap(Op.CREATE, 1, "/f")
        await b.kill()
        leave(b, DATA, marker())
        b.mgm.is_silent = True
        await b.restart(partial_seconds=0.0)
        client = await b.client()
        request = rq.Open(NO_SID, "/f", f"cap={cap}", 0, UPDATE)
        opening = asyncio.ensure_future(client.ask(request))
        await asyncio.sleep(0.2)
        assert not opening.done()  # told to wait: its upload is being resolved
        b.mgm.is_silent = False
        # Then it is gone, and what was written before with it: the client must begin anew.
        with pytest.raises(OperationError, match="no upload to go on with"):
            await opening
        assert b.files() == ([], [])

    bench(body)


@pytest.mark.parametrize("boot_id", ["", "another start of the machine"])
def test_nobody_goes_on_after_a_start_of_the_machine(bench, boot_id):
    """Answered writes that were not synced may be lost: a hole would be committed as data."""

    async def body(b):
        cap = b.cap(Op.CREATE, 1, "/f")
        await b.kill()
        leave(b, DATA, marker(machine_boot_id=boot_id))
        await b.restart(partial_seconds=60.0)
        await until_resolved(b)
        client = await b.client()
        with pytest.raises(OperationError, match="no upload to go on with"):
            await client.open("/f", cap, UPDATE)
        assert b.files() == ([], [])

    bench(body)


def test_a_filesystem_whose_disk_dies_meanwhile(bench):
    """The marker stays for the next boot."""

    async def fail(*_):
        raise OperationError(errno.EIO, "dead")

    async def body(b):
        await b.kill()
        own = b.worlds[0].host.load().machine_boot_id
        leave(b, DATA, marker(machine_boot_id=own))
        await b.restart(partial_seconds=0.3)
        b.store().disk.remove = fail
        async with asyncio.timeout(20):
            while len(b.fsts[0].parts.recovery):
                await asyncio.sleep(0.01)
        assert b.files() == (["00000001"], ["00000001"])

    bench(body)
