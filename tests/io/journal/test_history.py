"""The guard: an engine that is not the one that was followed is refused with a sentence."""

import pytest

from thesan.core.journal.entry import START, Position, crc_of, encode
from thesan.core.model.errors import Rewound
from thesan.core.model.ids import Epoch, Seq
from thesan.io.journal.history import check_history
from thesan.worlds.simulated.loop import run


def fill(bench, count: int, word: bytes = b"x") -> list[Position]:
    crc, positions = 0, [START]
    for seq in range(1, count + 1):
        data = encode(Epoch(1), Seq(seq), crc, [word])
        bench.journal.append(bench.mine, Seq(seq), data)
        crc = crc_of(data)
        positions.append(Position(Seq(seq), Epoch(1), crc))
    return positions


def test_the_same_history_is_fine_wherever_one_stands_in_it(bench):
    for position in fill(bench, 10):
        run(check_history(bench.engine, (position, None)))


def test_a_trimmed_entry_can_not_be_compared(bench):
    positions = fill(bench, 10)
    bench.journal.trim(bench.mine, Seq(8))
    run(check_history(bench.engine, (positions[3], Position(Seq(7), Epoch(0), 99))))


def test_an_older_or_empty_engine_is_refused(bench, make_bench):
    positions = fill(bench, 10)
    backup = make_bench()
    fill(backup, 7)
    run(check_history(backup.engine, (positions[7],)))
    for engine in (backup.engine, make_bench().engine):
        with pytest.raises(Rewound, match=r"entry 8 was applied here.*restored.*adopt"):
            run(check_history(engine, (None, positions[8])))


def test_another_history_is_refused(bench, make_bench):
    positions = fill(bench, 10)
    other = make_bench()
    fill(other, 20, b"other")
    with pytest.raises(Rewound, match="entry 4 of the journal is not the one"):
        run(check_history(other.engine, (positions[4],)))
