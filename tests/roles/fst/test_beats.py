"""Beats: what they say, and that their answers are obeyed only forwards."""

import asyncio
import errno
from pathlib import Path

import pytest

from thesan.core.authority.capability import Op
from thesan.core.control.messages import BeatReply
from thesan.core.model.errors import OperationError
from thesan.roles.fst import beats
from thesan.roles.fst.store import BootState


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_beat_says_what_there_is(bench):
    async def body(b):
        parts = b.fsts[0].parts
        beat = await b.mgm.until_beat(lambda beat: beat.report.rss_bytes)
        assert beat.node == parts.node
        assert beat.report.geotag == "site::rack"
        assert beat.report.version
        assert [fs.path for fs in beat.filesystems] == [str(path) for path in b.paths(0)]
        assert all(fs.capacity_bytes > fs.free_bytes > 0 for fs in beat.filesystems)
        boot_id = beat.boot_id
        await b.kill()
        await b.restart()
        later = await b.mgm.until_beat(lambda beat: beat.boot_id != boot_id)
        assert len(later.boot_id) == len(boot_id) == 16

    bench(body, fs=2, geotag="site::rack")


def test_beats_go_to_every_mgm_that_is_heard_of(bench):
    async def body(b):
        second = type(b.mgm)(b.worlds[0])
        listener = await b.listen(second)
        second.address = f"127.0.0.1:{listener.port}"
        second.is_master = False
        heart = b.fsts[0].parts.heart
        reply = BeatReply(
            master=True,
            epoch=1,
            master_address=b.mgm.address,
            mgms=[b.mgm.address, second.address],
            config_seq=b.mgm.config_seq,
        )
        heart._obey(heart._beat(), reply)
        await second.until_beat(lambda beat: True)
        await b.mgm.until_beat(lambda beat: True)

    bench(body)


def test_an_mgm_that_returns_is_found_again(bench):
    async def body(b):
        port = b.mgm_listener.port
        await b.mgm_listener.close()
        await until(lambda: not any(link.is_up for link in b.fsts[0].parts.mgms.links.values()))
        b.mgm.beats.clear()
        b.mgm_listener = await b.listen(b.mgm, port=port)
        await b.mgm.until_beat(lambda beat: True)

    bench(body)


def answered(b, **changes):
    """Let the FST obey an answer to a beat of now."""
    heart = b.fsts[0].parts.heart
    fields = {
        "master": True,
        "epoch": heart.epoch,
        "master_address": b.mgm.address,
        "mgms": [],
        "config_seq": b.mgm.config_seq,
    }
    heart._obey(heart._beat(), BeatReply(**{**fields, **changes}))
    return heart


def test_an_older_epoch_is_not_listened_to(bench):
    async def body(b):
        heart = answered(b, epoch=5)
        assert heart.epoch == 5
        answered(b, epoch=4, active=False, master_address="h:1", deletions=[(1, 7)])
        assert heart.epoch == 5
        assert heart.is_active
        assert b.fsts[0].parts.mgms.master == b.mgm.address

    bench(body)


def test_an_older_configuration_is_not_listened_to(bench):
    async def body(b):
        await until(lambda: b.store().config is not None)
        seq = b.mgm.config_seq
        answered(b, config_seq=seq - 1, filesystems=[])
        assert b.store().config is not None
        answered(b, config_seq=seq + 1, filesystems=[])
        assert b.store().config is None
        assert b.store().state is BootState.DOWN

    bench(body)


def test_only_a_master_orders_deletions(bench):
    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 7, "/f"), b"x")
        answered(b, master=False, deletions=[(1, 7)])
        await asyncio.sleep(0.1)
        assert b.files() == (["00000007"], [])
        answered(b, deletions=[(1, 7)])
        await until(lambda: b.files() == ([], []))

    bench(body)


def test_a_disk_that_hangs_is_taken_out_of_service(bench, monkeypatch):
    monkeypatch.setattr(beats, "DISK_HANG_SECONDS_MAX", 0.05)
    monkeypatch.setattr(beats, "BEAT_SECONDS", 0.02)

    async def body(b):
        gate = asyncio.Event()

        async def hang():
            await gate.wait()
            raise OperationError(errno.ENODEV, "unplugged")

        b.store().disk.usage = hang
        beat = await b.mgm.until_beat(lambda beat: beat.filesystems[0].boot == "opserror")
        assert "did not answer" in beat.filesystems[0].errmsg
        gate.set()

    bench(body)


def test_figures_that_can_not_be_taken_do_not_stop_the_heart(bench, monkeypatch):
    monkeypatch.setattr(beats, "BEAT_SECONDS", 0.02)

    async def body(b):
        def fail():
            raise ValueError("no figures")

        b.fsts[0].parts.heart._host.load = fail
        for _ in range(3):
            b.mgm.beats.clear()
            await b.mgm.until_beat(lambda beat: True)
        assert "no figures" in Path(b.log_path).read_text()

    bench(body)


@pytest.mark.parametrize("active", [False, True])
def test_the_switch(bench, active):
    async def body(b):
        b.fsts[0].parts.heart.is_active = not active
        b.mgm.is_active = active
        await until(lambda: b.fsts[0].parts.heart.is_active is active)

    bench(body)


def test_a_new_master_configures_anew(bench):
    """Its count of configurations has nothing to do with that of the master before it."""

    async def body(b):
        await until(lambda: b.store().config is not None)
        heart = answered(b, config_seq=1000, filesystems=[b.store().config])
        assert heart._beat().config_seq == 1000
        answered(b, epoch=2)
        assert heart._beat().config_seq == -1, "all of it, please"
        answered(b, config_seq=3, filesystems=[])
        assert b.store().config is None
        assert heart._beat().config_seq == 3

    bench(body)


def test_a_standby_configures_only_who_never_met_a_master(bench):
    async def body(b):
        await until(lambda: b.store().config is not None)
        answered(b, master=False, active=False, filesystems=[])
        heart = b.fsts[0].parts.heart
        assert b.store().config is not None
        assert heart.is_active
        await b.kill()
        b.mgm.is_master = False
        await b.restart()
        await until(lambda: b.store().config is not None)
        assert b.fsts[0].parts.heart._beat().config_seq == -1

    bench(body)


def test_what_was_deleted_is_said_until_the_master_heard_it(bench):
    async def body(b):
        heart = b.fsts[0].parts.heart
        b.mgm.beat = lambda beat: (_ for _ in ()).throw(OperationError(errno.EAGAIN, "no"))
        heart._deletions._done[1, 7] = None
        beat = heart._beat()
        assert beat.deleted == [(1, 7)]
        for changes in ({"master": False}, {"epoch": 0}):
            reply = BeatReply(
                **{"master": True, "epoch": 1, "master_address": "", "mgms": [], "config_seq": 0}
                | changes
            )
            heart._obey(beat, reply)
            assert heart._beat().deleted == [(1, 7)]
        answered(b)
        assert heart._beat().deleted == []

    bench(body)


def test_members_that_left_are_let_go(bench):
    async def body(b):
        mgms = b.fsts[0].parts.mgms
        answered(b, mgms=[b.mgm.address, "127.0.0.1:9", "127.0.0.1:10"])
        assert len(mgms.links) == 3
        answered(b, master=False, mgms=[b.mgm.address])
        assert len(mgms.links) == 3, "only a master knows"
        answered(b, mgms=["127.0.0.1:10"])
        assert list(mgms.links) == [b.mgm.address, "127.0.0.1:10"], "one is of the settings"

    bench(body)
