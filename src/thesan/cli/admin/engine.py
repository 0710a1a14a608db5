"""`thesan engine status | recover | migrate`: the journal's engine itself, without any MGM."""

import argparse
import asyncio
import errno
import os
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import msgspec

from thesan.cli.admin.answer import print_fields, print_records
from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column, Record
from thesan.core.model.errors import ConfigError, OperationError
from thesan.core.model.ids import Seq
from thesan.worlds.real.engines import open_engine

_T = TypeVar("_T")

SPEC_VARIABLE: Final = "THESAN_JOURNAL"
SPEC_HELP: Final = f"sqlite:PATH or etcd:HOST:PORT,...[/PREFIX][?OPTIONS] (or ${SPEC_VARIABLE})"
MEMBERS: Final = (
    Column("member", "name", "left"),
    Column("address", "address", "left"),
    Column("role", "role", "left"),
    Column("version", "version"),
    Column("db", "db_bytes", "bytes"),
    Column("in use", "used_bytes", "bytes"),
    Column("quota", "quota_bytes", "bytes"),
    Column("raft index", "raft_index"),
    Column("alarms", "alarms"),
    Column("ms", "latency_ms", "float"),
    Column("detail", "detail", "left"),
)
STEPS: Final = (
    Column("step", "step", "left"),
    Column("of", "target", "left"),
    Column("before", "before"),
    Column("after", "after"),
    Column("done", "done"),
)


def run(context: Context, argv: list[str]) -> int:
    """One verb."""
    options = _parser().parse_args(argv)
    match options.verb:
        case "status":
            return _status(context, _spec(options))
        case "recover":
            return _recover(context, _spec(options), options)
        case _:
            return _migrate(context, options)


def _parser() -> argparse.ArgumentParser:
    top = parser("engine", "The journal's engine, asked directly: works without any MGM.")
    verbs = top.add_subparsers(dest="verb", required=True)
    status = verbs.add_parser("status", help="the journal, and each member of its etcd")
    status.add_argument("spec", nargs="?", help=SPEC_HELP)
    recover = verbs.add_parser(
        "recover",
        help="make room in an etcd whose quota is reached",
        description="Drop old entries, compact, defragment every member, disarm the alarm."
        " Safe to repeat.",
    )
    recover.add_argument("spec", nargs="?", help=SPEC_HELP)
    recover.add_argument(
        "--before",
        type=int,
        metavar="SEQ",
        help="drop entries below: only what two MGMs hold durably (see `thesan ns`). Without it"
        " none is dropped, which is enough when the master has trimmed",
    )
    recover.add_argument("--dry-run", action="store_true", help="tell the steps, do nothing")
    migrate = verbs.add_parser(
        "migrate",
        help="move the journal to another engine",
        description="Stop all MGMs first. The target must be empty. Every entry is checked, and"
        " read back from the target; then the source is set aside.",
    )
    migrate.add_argument("source", metavar="FROM", help="sqlite:PATH or etcd:...")
    migrate.add_argument("target", metavar="TO", help="sqlite:PATH or etcd:...")
    return top


def _spec(options: argparse.Namespace) -> str:
    spec: str = options.spec or os.environ.get(SPEC_VARIABLE, "")
    if not spec:
        raise ConfigError(f"no engine given: name it, or set {SPEC_VARIABLE}")
    if spec.startswith("sqlite:") and not os.path.exists(spec.partition(":")[2]):
        raise ConfigError(f"{spec} does not exist")
    return spec


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


def _warn(text: str) -> None:
    print(f"thesan: {text}", file=sys.stderr)


def _status(context: Context, spec: str) -> int:
    async def look() -> tuple[Record, list[Record]]:
        engine = await open_engine(spec, _warn)
        try:
            status = await engine.status()
            values: Record = {
                "engine": status.kind,
                "healthy": status.healthy,
                "first": status.first,
                "last": status.last,
                "used_bytes": status.used_bytes,
                "quota_bytes": status.quota_bytes,
                "beats": status.beats,
                "detail": status.detail,
            }
            if status.healthy:
                owner = await engine.owner()
                values["owner"] = "nobody" if owner is None else owner.node
                values["epoch"] = 0 if owner is None else owner.epoch
            if status.kind != "etcd":
                return values, []
            from thesan.worlds.real.etcd.engine import EtcdEngine
            from thesan.worlds.real.etcd.upkeep import members

            assert isinstance(engine, EtcdEngine)
            return values, [msgspec.to_builtins(one) for one in await members(engine)]
        finally:
            await engine.close()

    values, members = _run(look())
    if context.output is Output.TABLE:
        print_fields(context, values)
        if members:
            print_records(context, members, MEMBERS)
    else:
        print_records(context, [values, *members], ())
    return 0 if values["healthy"] else errno.EIO


def _recover(context: Context, spec: str, options: argparse.Namespace) -> int:
    if not spec.startswith("etcd:"):
        raise OperationError(errno.EINVAL, "only an etcd has a quota to recover from")

    async def work() -> list[Record]:
        from thesan.worlds.real.etcd.engine import EtcdEngine
        from thesan.worlds.real.etcd.upkeep import recover

        engine = await open_engine(spec, _warn)
        try:
            assert isinstance(engine, EtcdEngine)
            before = None if options.before is None else Seq(options.before)
            return [
                msgspec.to_builtins(step)
                async for step in recover(engine, before, dry_run=options.dry_run)
            ]
        finally:
            await engine.close()

    return print_records(context, _run(work()), STEPS)


def _migrate(context: Context, options: argparse.Namespace) -> int:
    from thesan.worlds.real.migration import migrate

    moved = _run(migrate(options.source, options.target, _warn))
    record: Record = msgspec.to_builtins(moved)
    return print_fields(context, record)
