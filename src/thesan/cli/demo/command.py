"""`thesan demo up | status | load | kill-master | restart | down | run`."""

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

import msgspec

from thesan.cli.admin.answer import print_records
from thesan.cli.context import Context, Output
from thesan.cli.demo import kill, lifecycle, load, story
from thesan.cli.demo.plan import ENGINES, Plan, default_directory, load_plan
from thesan.cli.main import parser
from thesan.cli.render import Column, Record, table
from thesan.cli.supervisor_channel import tell

LOAD_SECONDS = 30.0
"""Load without --seconds: room for two killed masters."""
LANES = (
    Column("lane", "lane", "left"),
    Column("acknowledged", "acknowledged"),
    Column("p50 ms", "p50_ms"),
    Column("p99 ms", "p99_ms"),
    Column("longest stall ms", "stall_ms"),
    Column("at s", "stall_at_s"),
    Column("errors", "errors"),
)


def run(context: Context, argv: list[str]) -> int:
    """Dispatch the verb."""
    options = _parser().parse_args(argv)
    directory = Path(options.dir).absolute() if options.dir else default_directory()
    match options.verb:
        case "up":
            return _up(directory, options.mgm, options.fst, options.engine)
        case "status":
            return _status(context, directory)
        case "load":
            return _load(context, directory, options.seconds, options.clients)
        case "kill-master":
            return _kill_master(context, directory, options)
        case "restart":
            return _restart(directory, options.names)
        case "down":
            return _down(directory, purge=options.purge)
        case "run":
            return story.run(Path(options.dir).absolute() if options.dir else None, options.engine)
        case _:
            raise AssertionError(options.verb)


def _parser() -> argparse.ArgumentParser:
    top = parser("demo", "A whole instance of real processes on this machine's loopback.")
    verbs = top.add_subparsers(dest="verb", required=True)
    for name, text in (
        ("up", "start an instance and say how to use it"),
        ("status", "what runs where, and who is master (-j, -m: for programs)"),
        ("load", "write and read with checks; status 1 when anything failed or was lost"),
        ("kill-master", "kill the master (-9) and say who took over, and when"),
        ("restart", "start again what kill-master --host left down, or restart what runs"),
        ("down", "stop it (--purge: and remove its data)"),
        ("run", "the story: start, copy, compare, kill the master, see another take over, stop"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--dir", help="the demo's directory (several demos: several directories)")
        match name:
            case "up":
                verb.add_argument("--mgm", type=int, metavar="N", help="number of MGMs (1)")
                verb.add_argument("--fst", type=int, metavar="N", help="number of FSTs (3)")
                verb.add_argument(
                    "--engine", choices=ENGINES, help="sqlite: one file (default); etcd: 3 members"
                )
            case "load":
                verb.add_argument("--seconds", type=float, default=LOAD_SECONDS, metavar="S")
                verb.add_argument("--clients", type=int, default=2, metavar="N")
            case "kill-master":
                ways = verb.add_mutually_exclusive_group()
                ways.add_argument(
                    "--host",
                    action="store_true",
                    help="its FST and etcd member too; they stay down until `demo restart`",
                )
                ways.add_argument(
                    "--stop", type=float, metavar="SECONDS", help="SIGSTOP for so long instead"
                )
                verb.add_argument(
                    "--for",
                    dest="down",
                    type=float,
                    default=0.0,
                    metavar="SECONDS",
                    help="with --host: they come back by themselves after that time",
                )
            case "restart":
                verb.add_argument("names", nargs="+", metavar="NAME", help="such as mgm2, fst1")
            case "down":
                verb.add_argument("--purge", action="store_true", help="remove all data too")
            case "run":
                verb.add_argument("--engine", choices=ENGINES, default="sqlite")
            case _:
                pass
    return top


def _up(directory: Path, mgm_count: int | None, fst_count: int | None, engine: str | None) -> int:
    began = time.monotonic()
    plan = lifecycle.start(directory, mgm_count, fst_count, engine)
    records = asyncio.run(lifecycle.wait_ready(plan))
    asyncio.run(lifecycle.configure(plan))
    mgms = f"{len(plan.mgms)} MGM" + "s" * (len(plan.mgms) > 1)
    print(
        f"ready in {time.monotonic() - began:.1f} s: {mgms} on {plan.engine}, "
        f"{len(records)} filesystems online"
    )
    print(f"""
  export THESAN_MGM_URL={plan.url}
  export THESAN_JOURNAL={plan.journal}{_dir_hint(directory)}

  thesan fs ls
  thesan cp /etc/hostname /hello
  thesan ls -l /
  xrdcp /etc/hostname root://{plan.mgms[0]}//hello-from-xrdcp      (any XRootD client works)
  thesan demo status""")
    if len(plan.mgms) > 1:
        print("  thesan ns master                  (who is master, and why)")
        print("  thesan demo load &                (write, read and compare all the time)")
        print("  thesan demo kill-master           (and watch who takes over)")
    print("  thesan demo down --purge\n")
    return 0


def _dir_hint(directory: Path) -> str:
    """Later commands find a demo elsewhere by the environment."""
    return "" if directory == default_directory() else f"\n  export THESAN_DEMO_DIR={directory}"


def _status(context: Context, directory: Path) -> int:
    state = lifecycle.status(directory)
    if context.output is Output.JSON:
        print(json.dumps(state))
        return 0
    if context.output is Output.MONITOR:
        return print_records(context, _status_records(state), ())
    print(f"{state['url']}  on {state['engine']}, in {state['dir']}")
    for row in [*state["etcds"], *state["mgms"], *state["fsts"]]:
        address = f"{row['host']}:{row['port']}"
        epoch = f"epoch {row['epoch']} journal {row['applied']}" if row.get("epoch") else ""
        print(
            f"  {row['name']:<6} {address:<22} {row['role']:<8} {row['state']:<9} "
            f"pid {row['pid'] or '-':<8} restarts {row['restarts']:<3} "
            f"{epoch or row.get('error', '')}".rstrip()
        )
    return 0


def _status_records(state: dict[str, Any]) -> list[Record]:
    """The instance, then each daemon."""
    instance = {key: value for key, value in state.items() if not isinstance(value, list)}
    return [
        {"type": "demo", **instance},
        *({"type": kind, **row} for kind in ("etcd", "mgm", "fst") for row in state[f"{kind}s"]),
    ]


def _load(context: Context, directory: Path, seconds: float, clients: int) -> int:
    plan = load_plan(directory)
    as_json = context.output is Output.JSON

    def say(at_s: float, text: str) -> None:
        if not as_json:
            print(f"{at_s:8.2f} s  {text}", flush=True)

    if not as_json:
        print(
            f"{clients} clients, {len(load.LANES)} lanes each, {load.RATE_HZ:.0f} operations a "
            f"second and lane, for {seconds:g} s (Ctrl-C ends it, and compares)",
            flush=True,
        )
    verdict = asyncio.run(load.run(plan.url, seconds, clients, say))
    record = verdict.record()
    if as_json:
        print(json.dumps({**record, "error_texts": verdict.errors, "lost_texts": verdict.lost}))
    else:
        print(table([lane.record() for lane in verdict.lanes], LANES, header=context.header))
        print(
            f"{record['acknowledged']} operations acknowledged, {record['checked']} names and "
            f"files compared at the end: {len(verdict.errors)} errors, {len(verdict.lost)} lost"
        )
        for text in [*verdict.errors[: load.ERRORS_SHOWN_MAX], *verdict.lost[:20]]:
            print(f"  {text}")
    return 1 if verdict.errors or verdict.lost else 0


def _kill_master(context: Context, directory: Path, options: argparse.Namespace) -> int:
    plan = load_plan(directory)
    fall = asyncio.run(
        kill.strike(plan, host=options.host, stop_s=options.stop or 0.0, down_s=options.down)
    )
    if context.output is Output.JSON:
        print(json.dumps(msgspec.to_builtins(fall)))
        return 0
    print("\n".join(timeline(plan, fall, options.stop or 0.0, options.down)))
    return 0


def timeline(plan: Plan, fall: kill.Fall, stop_s: float, down_s: float) -> list[str]:
    """What happened, line by line, for a person."""
    struck = ", ".join(fall.names)
    by = f"SIGSTOP for {stop_s:g} s" if fall.how == "stop" else "kill -9"
    lines = [
        f"  0.000 s  {by}: {struck} ({fall.old_master} was master, epoch {fall.old_epoch})",
        f"{fall.new_master_s:7.3f} s  new master {fall.new_master}, epoch {fall.new_epoch}",
        f"{fall.first_write_s:7.3f} s  first write acknowledged",
    ]
    match fall.how:
        case "host" if down_s:
            lines.append(f"{struck}: down for {down_s:g} s, then started again")
        case "host":
            lines.append(f"{struck}: down until `thesan demo restart {' '.join(fall.names)}`")
        case "stop":
            lines.append(f"{fall.old_master} wakes after {stop_s:g} s, and finds itself deposed")
        case _ if len(plan.mgms) == 1:
            lines.append(f"{fall.old_master} is the only MGM: it was started again")
        case _:
            lines.append(f"{fall.old_master} is started again, as a standby")
    return lines


def _restart(directory: Path, names: list[str]) -> int:
    held = {one.name: one.state for one in tell(directory, "list")}
    running = [name for name in names if held.get(name) == "running"]
    if running:
        tell(directory, "kill", *running)
    states = tell(directory, "release", *names)
    for one in states:
        if one.name in names:
            print(f"{one.name}: {'killed and ' if one.name in running else ''}started again")
    return 0


def _down(directory: Path, *, purge: bool) -> int:
    lifecycle.stop(directory)
    if purge:
        lifecycle.purge(directory)
    print(f"stopped{' and removed' if purge else ''}: {directory}")
    return 0
