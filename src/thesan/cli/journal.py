"""`thesan journal ls | verify | restore | adopt`: an MGM's data directory, without any MGM.

ls, verify and restore only read, so that the MGM of that directory may be running.
"""

import argparse
import asyncio
import errno
import shutil
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from thesan.cli.admin.answer import print_fields, print_records
from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column, Record
from thesan.core.model.errors import ConfigError, OperationError
from thesan.core.model.ids import Seq
from thesan.core.model.units import NS_PER_S
from thesan.roles.mgm import restore as past_of
from thesan.roles.mgm.restore import Past, Restored
from thesan.worlds.real.journal_start import begin_journal
from thesan.worlds.real.os_disk import OsDisk
from thesan.worlds.real.rocks_home import RocksHome

_T = TypeVar("_T")

COLUMNS: Final = (
    Column("kind", "kind", "left"),
    Column("first", "first"),
    Column("last", "last"),
    Column("state", "state", "left"),
    Column("bytes", "bytes", "bytes"),
    Column("begun", "begun", "left"),
    Column("until", "until", "left"),
)


def run(context: Context, argv: list[str]) -> int:
    """One verb."""
    options = _parser().parse_args(argv)
    if not options.data.is_dir():
        raise ConfigError(f"{options.data} is not a directory")
    match options.verb:
        case "ls":
            return _in(options.data, lambda disk, home: _ls(context, disk, home))
        case "verify":
            return _in(options.data, lambda disk, home: _verify(context, disk, home))
        case "restore":
            return _in(options.data, lambda disk, home: _restore(context, disk, home, options))
        case _:
            return _in(options.data, lambda disk, home: _adopt(context, disk, home, options))


def _parser() -> argparse.ArgumentParser:
    top = parser("journal", "Segments and checkpoints in the data directory of an MGM.")
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("ls", help="segments and checkpoints, and how far back they reach")
    verbs.add_parser("verify", help="read every byte; exit status EIO when anything is damaged")
    restore = verbs.add_parser(
        "restore",
        help="the state at some point, as a new data directory",
        description="Make a new data directory that holds the instance as it was, with a journal"
        " of its own (NEW/journal.db). The old directory is left as it is.",
    )
    restore.add_argument("--into", type=Path, required=True, metavar="NEW", help="must not exist")
    point = restore.add_mutually_exclusive_group()
    point.add_argument("--to-seq", type=int, metavar="N", help="state after journal entry N")
    point.add_argument(
        "--to-time",
        metavar="T",
        help="state at that time, within a second: 2026-01-31T12:00:00[+01:00], local without zone",
    )
    restore.add_argument(
        "--journal",
        metavar="SPEC",
        help="an empty journal to use instead: sqlite:PATH or etcd:HOST:PORT,...[/PREFIX]",
    )
    adopt = verbs.add_parser(
        "adopt",
        help="make the history of this directory the journal, after the engine was lost",
        description="The MGM of this directory must be stopped. Everything that the lost journal"
        " had beyond it is given up: use the directory of the MGM that had applied most.",
    )
    adopt.add_argument(
        "--journal", required=True, metavar="SPEC", help="an empty journal: sqlite: or etcd:"
    )
    for verb in verbs.choices.values():
        verb.add_argument("--data", type=Path, required=True, help="data directory of an MGM")
    return top


def _in(data: Path, work: Callable[[OsDisk, RocksHome], Coroutine[Any, Any, _T]]) -> _T:
    async def run_it() -> _T:
        disk = OsDisk(str(data))
        try:
            return await work(disk, RocksHome(data))
        finally:
            disk.shutdown()

    return asyncio.run(run_it())


def _tell(context: Context) -> Callable[[str], None]:
    def tell(text: str) -> None:
        if context.output is Output.TABLE:
            print(text, file=sys.stderr)

    return tell


async def _ls(context: Context, disk: OsDisk, home: RocksHome) -> int:
    return print_records(context, _records(await past_of.survey(disk, home)), COLUMNS)


def _records(past: Past) -> list[Record]:
    segments = [
        _record(
            "segment",
            first=segment.first,
            last=segment.last,
            state="closed" if segment.is_closed else "open",
            bytes=segment.file_bytes,
            begun=_time(segment.begun_ns),
            until=_time(segment.time_ns),
        )
        for segment in past.segments
    ]
    checkpoints = [
        _record("checkpoint", last=info.seq, state="whole", until=_time(info.time_ns))
        for info in past.checkpoints
    ]
    damaged = [
        _record("segment", state="damaged", detail=reason) for reason in past.damaged.values()
    ]
    return segments + checkpoints + damaged


def _record(kind: str, **fields: object) -> Record:
    empty: Record = dict.fromkeys(
        ("kind", "first", "last", "state", "bytes", "begun", "until", "detail"), ""
    )
    return empty | {"kind": kind, **fields}


async def _verify(context: Context, disk: OsDisk, home: RocksHome) -> int:
    past = await past_of.survey(disk, home)
    if not (past.segments or past.checkpoints or past.damaged):
        # Nothing is no proof of soundness: most likely it is another directory that was meant.
        raise OperationError(errno.ENOENT, "no journal here: neither segments nor checkpoints")
    faults = await past_of.verify(disk, home, past, _tell(context))
    if faults:
        raise OperationError(errno.EIO, "; ".join(faults))
    record: Record = {
        "segments": len(past.segments),
        "checkpoints": len(past.checkpoints),
        "first": past.segments[0].first if past.segments else 0,
        "last": past.segments[-1].last if past.segments else 0,
        "damaged": 0,
    }
    return print_fields(context, record)


async def _restore(
    context: Context, disk: OsDisk, home: RocksHome, options: argparse.Namespace
) -> int:
    tell = _tell(context)
    into: Path = options.into
    past = await past_of.survey(disk, home)
    target = Seq(options.to_seq) if options.to_seq is not None else None
    if options.to_time is not None:
        target = await past_of.seq_at(disk, past, _parse_time(options.to_time))
        tell(f"the newest entry of that time is {target}")
    past_of.check_point(past, target)
    _make(into)
    journal = options.journal or f"sqlite:{into}/journal.db"
    try:
        new = RocksHome(into)
        fresh = await new.open()
        try:
            done = await past_of.restore(disk, home, past, target, fresh, tell)
        finally:
            await new.release(fresh)
        # Last: without a journal no MGM takes the directory for a whole one.
        owner = await begin_journal(journal, done.entry, done.fid_limit, time.time_ns())
    except BaseException:
        # It is of no use, and would be in the way of the next try.
        shutil.rmtree(into, ignore_errors=True)
        raise
    return print_fields(context, _outcome(done, owner.epoch, journal, str(into)))


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise ConfigError(f"{directory} exists: nothing was changed") from None


async def _adopt(
    context: Context, disk: OsDisk, home: RocksHome, options: argparse.Namespace
) -> int:
    # Opening it for writing fails while an MGM has it.
    store = await home.open()
    try:
        past = await past_of.survey(disk, home)
        done = await past_of.catch_up(disk, past, store)
        await home.flush(store)
    finally:
        await home.release(store)
    owner = await begin_journal(options.journal, done.entry, done.fid_limit, time.time_ns())
    return print_fields(context, _outcome(done, owner.epoch, options.journal, str(options.data)))


def _outcome(done: Restored, epoch: int, journal: str, data: str) -> Record:
    return {
        "seq": done.position.seq,
        "epoch": epoch,
        "ops": done.op_count,
        "digest": done.digest.hex(),
        "checkpoint": done.base.seq if done.base is not None else "",
        "data": data,
        "journal": journal,
    }


def _time(time_ns: int) -> str:
    if not time_ns:
        return ""
    return datetime.fromtimestamp(time_ns / NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse_time(text: str) -> int:
    """Nanoseconds since 1970 at the end of that second. Raises OperationError EINVAL."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise OperationError(errno.EINVAL, f"not a time: {text[:80]!r} ({error})") from error
    return (int(moment.astimezone(UTC).timestamp()) + 1) * NS_PER_S - 1
