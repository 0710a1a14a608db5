"""`thesan demo up | status | down | run`."""

import argparse
import asyncio
import json
import time
from pathlib import Path

from thesan.cli.context import Context, Output
from thesan.cli.demo import lifecycle, story
from thesan.cli.demo.plan import default_directory
from thesan.cli.main import parser


def run(context: Context, argv: list[str]) -> int:
    """Dispatch the verb."""
    options = _parser().parse_args(argv)
    directory = Path(options.dir).absolute() if options.dir else default_directory()
    match options.verb:
        case "up":
            return _up(directory, options.mgm, options.fst)
        case "status":
            return _status(context, directory)
        case "down":
            return _down(directory, purge=options.purge)
        case "run":
            return story.run(Path(options.dir).absolute() if options.dir else None)
        case _:
            raise AssertionError(options.verb)


def _parser() -> argparse.ArgumentParser:
    top = parser("demo", "A whole instance of real processes on this machine's loopback.")
    verbs = top.add_subparsers(dest="verb", required=True)
    for name, text in (
        ("up", "start an instance and say how to use it"),
        ("status", "what runs where (-j: JSON)"),
        ("down", "stop it (--purge: and remove its data)"),
        ("run", "the story: start, copy, compare, kill the MGM, recover, stop"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--dir", help="the demo's directory (several demos: several directories)")
        if name == "up":
            verb.add_argument("--mgm", type=int, default=1, help="number of MGMs")
            verb.add_argument("--fst", type=int, default=3, help="number of FSTs")
        if name == "down":
            verb.add_argument("--purge", action="store_true", help="remove all data too")
    return top


def _up(directory: Path, mgm_count: int, fst_count: int) -> int:
    began = time.monotonic()
    plan = lifecycle.start(directory, mgm_count, fst_count)
    records = asyncio.run(lifecycle.wait_ready(plan))
    asyncio.run(lifecycle.configure(plan))
    print(f"ready in {time.monotonic() - began:.1f} s: {len(records)} filesystems online")
    print(f"""
  export THESAN_MGM_URL={plan.url}

  thesan fs ls
  thesan cp /etc/hostname /hello
  thesan ls -l /
  xrdcp /etc/hostname {plan.url}/hello-from-xrdcp      (any XRootD client works)
  thesan demo status --dir {directory}
  thesan demo down --purge --dir {directory}
""")
    return 0


def _status(context: Context, directory: Path) -> int:
    state = lifecycle.status(directory)
    if context.output is Output.JSON:
        print(json.dumps(state))
    else:
        print(f"{state['url']}  in {state['dir']}")
        for row in [*state["mgms"], *state["fsts"]]:
            address = f"{row['host']}:{row['port']}"
            print(
                f"  {row['name']:<6} {address:<22} {row['role']:<8} {row['state']:<9} "
                f"pid {row['pid'] or '-':<8} restarts {row['restarts']}"
            )
    return 0


def _down(directory: Path, *, purge: bool) -> int:
    lifecycle.stop(directory)
    if purge:
        lifecycle.purge(directory)
    print(f"stopped{' and removed' if purge else ''}: {directory}")
    return 0
