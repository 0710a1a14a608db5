"""Which filesystems there are. The ways in and out are in test_boot; here is the rest."""

import asyncio

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.roles.fst.store import BootState, FsStore


def test_found_by_number_while_in_service(bench):
    async def body(b):
        fleet = b.fsts[0].parts.fleet
        # They register side by side: who gets which number is open.
        assert [fleet.find(store.fsid) for store in fleet.stores] == fleet.stores
        assert sorted(store.fsid for store in fleet.stores) == [1, 2]
        assert fleet.find(3) is None

    bench(body, fs=2)


def test_a_registration_that_is_refused(bench):
    async def body(b):
        b.mgm.register = lambda message: (_ for _ in ()).throw(OperationError(13, "not you"))
        await b.start_fst(1)
        store = b.store(1)
        async with asyncio.timeout(10):
            while store.state is not BootState.BOOTFAILURE:
                await asyncio.sleep(0.01)
        assert "not you" in store.errmsg

    bench(body)


def test_a_registration_is_repeated_until_it_is_answered(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.mgms.COMMIT_RETRY_SECONDS", 0.01)

    async def body(b):
        real, calls = b.mgm.register, []

        def register(message):
            calls.append(message)
            if len(calls) < 3:
                raise OperationError(87, "overloaded")
            return real(message)

        b.mgm.register = register
        await b.start_fst(1)
        await b.until_booted(1)
        assert len({(call.uuid, call.path) for call in calls}) == 1

    bench(body)


def test_a_disk_that_hangs_keeps_nobody_away(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.fleet.FST_BOOT_SECONDS_MAX", 0.1)

    async def body(b):
        gate = asyncio.Event()
        real = FsStore.read_label

        async def hang(store):
            if store.path.endswith("fs0"):
                await gate.wait()
            return await real(store)

        monkeypatch.setattr(FsStore, "read_label", hang)
        await b.kill()
        await b.restart()
        assert [store.state for store in b.fsts[0].parts.fleet.stores] == [
            BootState.BOOTING,
            BootState.BOOTED,
        ]
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f", fs=1), b"data")
        gate.set()
        await b.until_booted()

    bench(body, fs=2)


def test_the_old_number_comes_back_after_a_restart(bench):
    async def body(b):
        uuid = b.store().uuid
        await b.kill()
        await b.restart()
        await b.until_booted()
        assert (b.store().fsid, b.store().uuid) == (1, uuid)
        assert list(b.mgm.filesystems) == [1]

    bench(body)
