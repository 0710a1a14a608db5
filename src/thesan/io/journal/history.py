"""Is the journal that the engine holds the one that was applied here?

An engine that was restored from a backup, emptied or mixed up with another instance's looks like
any other: only what this MGM has applied can tell. Following it would bury acknowledged changes, so
this MGM stops and says so; which history counts is for a person to decide.
"""

from collections.abc import Iterable

from thesan.core.journal.entry import Position, crc_of
from thesan.core.model.errors import Rewound, Trimmed
from thesan.ports.engine import Engine


async def check_history(engine: Engine, known: Iterable[Position | None]) -> None:
    """Compare the engine with positions that this MGM has reached (store, archive; None: none).

    Raises Rewound; Unavailable when the engine does not answer: then nothing is known. Entries that
    were trimmed can't be compared: that they are gone says that a master had them once.
    """
    for position in known:
        if position is None or position.seq == 0:
            continue
        seen = await engine.observe()
        if seen.last < position.seq:
            raise Rewound(
                f"the journal ends at entry {seen.last}, but entry {position.seq} was applied here:"
                " the engine was restored from an older copy, emptied, or belongs to another"
                f" instance. {_ADVICE}"
            )
        try:
            page = await engine.read(position.seq, 1)
        except Trimmed:
            continue
        if page and crc_of(page[0][1]) != position.crc:
            raise Rewound(
                f"entry {position.seq} of the journal is not the one that was applied here: the"
                f" engine was restored and written to, or belongs to another instance. {_ADVICE}"
            )


_ADVICE = (
    "This MGM follows nothing until the right engine is back, or its own history is made the"
    " journal by `thesan journal adopt`"
)
