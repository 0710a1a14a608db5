"""A journal that begins in the middle: the next entry chains to the one it begins with."""

import asyncio

import pytest

from thesan.core.journal.entry import crc_of, decode, encode
from thesan.core.model.errors import ConfigError, Corrupt, JournalError, Trimmed
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace.ops import ReserveFids, decode_op
from thesan.ports.engine import Owner
from thesan.worlds.real.engines import open_engine
from thesan.worlds.real.journal_start import FID_JUMP, begin_journal

ENTRY = encode(Epoch(7), Seq(1234), 99, [b"op"])


def test_it_is_gone_on_with(tmp_path):
    async def main():
        spec = f"sqlite:{tmp_path}/journal.db"
        owner = await begin_journal(spec, ENTRY, 77, 5)
        assert owner.epoch > 1000
        engine = await open_engine(spec)
        assert await engine.owner() == owner
        (first, (seq, data)) = await engine.read(Seq(1234), 1 << 20)
        assert first == (1234, ENTRY)
        second = decode(data)
        assert (seq, second.prev_crc, second.epoch) == (1235, crc_of(ENTRY), owner.epoch)
        assert [decode_op(op) for op in second.ops] == [ReserveFids(77 + FID_JUMP)]
        with pytest.raises(Trimmed):
            await engine.read(Seq(1233), 1)
        mine = Owner("a:1", Epoch(owner.epoch + 1), "a:1", 6)
        assert await engine.take_over(owner, mine)
        following = encode(mine.epoch, Seq(1236), crc_of(data), [b"next"])
        await engine.append(mine, Seq(1236), following)
        assert (await engine.status()).last == 1236
        await engine.close()
        with pytest.raises(JournalError):
            await begin_journal(spec, ENTRY, 77, 5)

    asyncio.run(main())


def test_what_is_no_spec_or_no_entry(tmp_path):
    with pytest.raises(ConfigError):
        asyncio.run(begin_journal("paper:roll", ENTRY, 77, 5))
    with pytest.raises(Corrupt):
        asyncio.run(begin_journal(f"sqlite:{tmp_path}/journal.db", ENTRY[:-1], 77, 5))
    assert list(tmp_path.iterdir()) == []
