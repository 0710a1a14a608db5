"""Commands that walk a tree: find, du."""

import fnmatch
import sys
from collections.abc import AsyncIterator

from thesan.cli.context import Context, Output
from thesan.cli.files import path_of, record_of
from thesan.cli.main import parser
from thesan.cli.render import monitor_line, show
from thesan.core.model.units import human_count
from thesan.core.wire.numbers import StatFlag
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.tree import Found


def find(context: Context, argv: list[str]) -> int:
    """`find [-f | -d] [--name GLOB] [--maxdepth N] [--count] [-0] PATH...`"""
    options = parser("find", "Walk trees and print what is in them.")
    kinds = options.add_mutually_exclusive_group()
    kinds.add_argument("-f", action="store_true", help="files only")
    kinds.add_argument("-d", action="store_true", help="directories only")
    options.add_argument("--name", help="shell pattern of the last component")
    options.add_argument("--maxdepth", type=int, default=None)
    options.add_argument("--count", action="store_true", help="only how many")
    options.add_argument("-0", dest="zero", action="store_true", help="end names with NUL")
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)
    counts = {"nfiles": 0, "ndirectories": 0}

    async def work(fs: Filesystem) -> None:
        records = []
        for root in map(path_of, chosen.paths):
            async for entry in _walk(fs, root, chosen.maxdepth):
                is_dir = bool(entry.stat.flags & StatFlag.IS_DIR)
                if (chosen.f and is_dir) or (chosen.d and not is_dir):
                    continue
                if chosen.name and not fnmatch.fnmatchcase(
                    entry.path.rpartition("/")[2], chosen.name
                ):
                    continue
                counts["ndirectories" if is_dir else "nfiles"] += 1
                if chosen.count:
                    continue
                record = record_of(entry.path, entry.stat)
                if context.output is Output.JSON:
                    records.append(record)
                elif context.output is Output.MONITOR:
                    print(monitor_line(record))
                else:
                    sys.stdout.write(entry.path + ("\0" if chosen.zero else "\n"))
        if context.output is Output.JSON and not chosen.count:
            print(show(context, records, []))

    context.with_filesystem(work)
    if chosen.count:
        print(
            show(context, [counts], []) if context.output is Output.JSON else monitor_line(counts)
        )
    return 0


def du(context: Context, argv: list[str]) -> int:
    """`du [-s] [--human] PATH...`: bytes below each directory."""
    options = parser("du", "Sizes of trees.")
    options.add_argument("-s", action="store_true", help="only the given paths")
    options.add_argument("--human", action="store_true", help="sizes with units")
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)

    async def work(fs: Filesystem) -> dict[str, int]:
        totals: dict[str, int] = {}
        for root in map(path_of, chosen.paths):
            totals[root] = 0
            async for entry in _walk(fs, root):
                if entry.path == root:
                    totals[root] = entry.stat.size
                elif entry.stat.flags & StatFlag.IS_DIR:
                    totals.setdefault(entry.path, 0)
                else:
                    _add(totals, root, entry.path, entry.stat.size)
        roots = [path_of(path) for path in chosen.paths]
        return {path: size for path, size in totals.items() if not chosen.s or path in roots}

    totals = context.with_filesystem(work)
    if context.output is Output.TABLE:
        for path, size in totals.items():
            print(f"{human_count(size) if chosen.human else size}\t{path}")
    else:
        records = [{"path": path, "bytes": size} for path, size in totals.items()]
        print(show(context, records, []))
    return 0


async def _walk(fs: Filesystem, root: str, depth_max: int | None = None) -> AsyncIterator[Found]:
    """What is below a directory; a file is all that there is of itself."""
    info = await fs.stat(root)
    if not info.flags & StatFlag.IS_DIR:
        yield Found(root, info)
        return
    async for entry in fs.find(root, depth_max=depth_max):
        yield entry


def _add(totals: dict[str, int], root: str, path: str, size: int) -> None:
    """Count a file in every directory from its own up to `root`."""
    while path != root and len(path) > 1:
        path = path.rpartition("/")[0] or "/"
        totals[path] = totals.get(path, 0) + size
