"""`thesan cp`: local to instance, instance to local, within; trees, standard streams, progress."""

import argparse
import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from thesan.cli.context import Context, Output
from thesan.cli.files import path_of
from thesan.cli.main import parser
from thesan.cli.render import show
from thesan.core.model.errors import OperationError
from thesan.core.model.units import human_count
from thesan.roles.client import copy as copying
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.url import is_url, parse_url
from thesan.worlds.real.local_files import RealLocalFiles

LOCAL_PREFIX: Final = "file:"
PROGRESS_SECONDS = 0.2
"""How often a progress bar is drawn: fast enough to look alive, slow enough to cost nothing."""


def run(context: Context, argv: list[str]) -> int:
    """Copy files and trees: in, out and within the instance.

    root://... is in the instance, file:... is on this machine, `-` is standard input or output.
    A plain source is local when it exists on this machine, else it is in the instance. A plain
    target is in the instance when the sources are local; when they are in the instance it is
    local, unless its directory exists only there.
    """
    options = _parser().parse_args(argv)
    sources, target = _sides(context, options.sources, options.target)
    shown = _Progress(enabled=sys.stderr.isatty() and not options.no_progress)

    async def work(fs: Filesystem) -> copying.Summary:
        job = copying.CopyJob(
            sources=sources,
            target=target,
            recursive=options.recursive,
            force=options.force,
            # A tree makes its directories anyway: then `TARGET/` need not be there either.
            make_parents=options.parents or (options.recursive and target.slash),
            parallel=options.parallel,
            verify=not options.no_verify,
            keep_times=options.preserve,
        )
        files = RealLocalFiles()
        try:
            return await copying.run(fs, files, job, shown.update)
        except copying.CopyFailed as error:
            shown.finish()
            raise _failure(error) from error
        finally:
            files.close()

    began = time.monotonic()
    try:
        summary = context.with_filesystem(work)
    finally:
        shown.finish()
    for path in summary.skipped:
        print(f"thesan cp: left out, neither file, directory nor link: {path}", file=sys.stderr)
    _report(context, summary, time.monotonic() - began, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    options = parser("cp", run.__doc__ or "")
    options.add_argument("-r", "-R", dest="recursive", action="store_true", help="copy trees")
    options.add_argument("-f", dest="force", action="store_true", help="replace existing files")
    options.add_argument(
        "-p", dest="parents", action="store_true", help="make the target directory"
    )
    options.add_argument("-P", dest="preserve", action="store_true", help="keep modification times")
    options.add_argument("-n", dest="no_progress", action="store_true", help="no progress bar")
    options.add_argument("-S", dest="summary", action="store_true", help="print a summary")
    options.add_argument("--parallel", type=int, default=8, help="files in flight (default 8)")
    options.add_argument("--no-verify", action="store_true", help="do not compare checksums")
    options.add_argument("sources", nargs="+")
    options.add_argument("target")
    return options


def _sides(
    context: Context, sources: list[str], target: str
) -> tuple[list[copying.Place], copying.Place]:
    """Which side is where, by the rules that `run` tells."""
    for text in [*sources, target]:
        if is_url(text) and not context.mgm_url:
            context.mgm_url = str(msgspec.structs.replace(parse_url(text), path="", cgi=""))
    places = [_source(text, is_target_url=is_url(target)) for text in sources]
    slash = target.endswith("/")
    if target.startswith(LOCAL_PREFIX) or target == copying.STREAM:
        is_remote = False
    elif is_url(target) or not any(place.remote for place in places):
        is_remote = True
    else:
        is_remote = target.startswith("/") and not Path(target.rstrip("/")).parent.is_dir()
    path = path_of(target) if is_remote else target.removeprefix(LOCAL_PREFIX)
    return places, copying.Place(remote=is_remote, path=path, slash=slash)


def _source(text: str, *, is_target_url: bool) -> copying.Place:
    if is_url(text):
        return copying.Place(remote=True, path=path_of(text))
    local = text.removeprefix(LOCAL_PREFIX)
    if local != text or text == copying.STREAM or os.path.lexists(text):
        return copying.Place(remote=False, path=local)
    if text.startswith("/") and not is_target_url:
        return copying.Place(remote=True, path=path_of(text))
    raise OperationError(errno.ENOENT, f"no such file: {text}")


def _failure(error: copying.CopyFailed) -> OperationError:
    """One failure as itself; of several, each on its line and their number as the error."""
    if error.count == 1:
        path, only = error.failures[0]
        return only if "/" in only.text else OperationError(only.errno, f"{path}: {only.text}")
    for path, each in error.failures:
        print(f"{path}: {each.text}", file=sys.stderr)
    return OperationError(error.errno, f"{error.count} files were not copied")


class _Progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, *, enabled: bool) -> None:
        self._update: Callable[[copying.Progress], None] | None = None
        self._stop: Callable[[], None] | None = None
        if enabled:
            self._start()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=1 / PROGRESS_SECONDS,
        )
        task = bar.add_task("copying", total=None)
        bar.start()

        def update(progress: copying.Progress) -> None:
            total = progress.bytes_total or None
            text = f"{progress.files_done}/{progress.files_total} files"
            bar.update(task, completed=progress.bytes_done, total=total, description=text)

        self._update, self._stop = update, bar.stop

    def update(self, progress: copying.Progress) -> None:
        """Called by the copy as it goes on."""
        if self._update is not None:
            self._update(progress)

    def finish(self) -> None:
        """Leave the terminal as it was."""
        if self._stop is not None:
            self._stop()


def _report(
    context: Context, summary: copying.Summary, seconds: float, options: argparse.Namespace
) -> None:
    record = {
        "files": summary.files,
        "directories": summary.directories,
        "links": summary.links,
        "bytes": summary.bytes,
        "seconds": round(seconds, 3),
        "restarts": summary.restarts,
        "unverified": summary.files if options.no_verify else summary.unverified,
    }
    if context.output is not Output.TABLE:
        print(show(context, [record], []))
    elif options.summary:
        rate = human_count(int(summary.bytes / seconds)) if seconds else "-"
        unverified = record["unverified"]
        checked = f"{unverified} not verified" if unverified else "checksums verified"
        print(
            f"{summary.files} files, {human_count(summary.bytes)} in {seconds:.2f} s ({rate}/s), "
            f"{checked}, {summary.restarts} restarts",
            # Standard output may be the copy itself.
            file=sys.stderr if options.target == copying.STREAM else sys.stdout,
        )
