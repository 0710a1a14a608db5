"""`thesan cp`: local to instance, instance to local, within; trees, standard streams, progress."""

import argparse
import errno
import sys
import time
from collections.abc import Callable
from pathlib import Path

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

PROGRESS_SECONDS = 0.2
"""How often a progress bar is drawn: fast enough to look alive, slow enough to cost nothing."""


def run(context: Context, argv: list[str]) -> int:
    """`cp [-r] [-f] [-p] [-n] [--parallel N] [--no-verify] SOURCE... TARGET`.

    A path that begins with root:// is remote. Without a URL, a source that exists on this machine is
    local and the other side is in the instance; `-` is standard input or output.
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
            make_parents=options.parents,
            parallel=options.parallel,
            verify=not options.no_verify,
            keep_times=options.preserve,
        )
        return await copying.run(fs, RealLocalFiles(), job, shown.update)

    began = time.monotonic()
    try:
        summary = context.with_filesystem(work)
    finally:
        shown.finish()
    _report(context, summary, time.monotonic() - began, summary_wanted=options.summary)
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
    """URLs are remote, `-` and existing paths local, the rest is the other side."""
    for text in [*sources, target]:
        if is_url(text):
            url = parse_url(text)
            if not context.mgm_url:
                context.mgm_url = str(url)
    remote_target = is_url(target)
    places = []
    for source in sources:
        if is_url(source):
            places.append(copying.Place(remote=True, path=path_of(source)))
        elif source == "-" or remote_target or Path(source).exists():
            places.append(copying.Place(remote=False, path=source))
        elif source.startswith("/"):
            places.append(copying.Place(remote=True, path=path_of(source)))
        else:
            raise OperationError(errno.ENOENT, f"no such file: {source}")
    some_remote = any(place.remote for place in places)
    if remote_target or (not some_remote and target != "-"):
        return places, copying.Place(remote=True, path=path_of(target), slash=target.endswith("/"))
    return places, copying.Place(remote=False, path=target, slash=target.endswith("/"))


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
    context: Context, summary: copying.Summary, seconds: float, *, summary_wanted: bool
) -> None:
    record = {
        "files": summary.files,
        "directories": summary.directories,
        "bytes": summary.bytes,
        "seconds": round(seconds, 3),
        "restarts": summary.restarts,
    }
    if context.output is not Output.TABLE:
        print(show(context, [record], []))
    elif summary_wanted:
        rate = human_count(int(summary.bytes / seconds)) if seconds else "-"
        print(
            f"{summary.files} files, {human_count(summary.bytes)} in {seconds:.2f} s ({rate}/s), "
            f"checksums verified, {summary.restarts} restarts"
        )
