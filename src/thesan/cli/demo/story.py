"""`thesan demo run`: the scripted story that `make demo` tells.

Every step is what a person would type; every copy is compared byte by byte; the master is killed
with SIGKILL in the middle of a copy, and another MGM takes over. Any difference ends the story with
status 1.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thesan.cli import probe
from thesan.cli.demo import kill, lifecycle
from thesan.cli.demo.plan import Plan
from thesan.cli.probe import MgmLook
from thesan.core.control.messages import Admin, AdminReply
from thesan.core.model.errors import ThesanError
from thesan.core.model.units import human_count
from thesan.roles.client.url import parse_endpoints

COPY_SECONDS_MAX = 300.0
"""Deadline of one copy of the tree; then the story fails."""
RECOVERY_SECONDS_MAX = 30.0
"""Deadline for a killed MGM to be a standby, and for all MGMs to show the same."""
MGM_COUNT = 3
FST_COUNT = 3
SAME_EVERYWHERE = (
    *("host", "port", "id", "uuid", "path", "schedgroup", "stat.geotag"),
    *("stat.boot", "configstatus", "stat.active"),
)
"""Keys of `fs ls -m` that every MGM must show alike; the others are figures that change."""
SKIPPED = {
    *("__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib"),
    *("encodings", "lib2to3", "distutils", "turtledemo"),
}
"""Parts of the standard library that only make the story longer."""


class Disagreement(Exception):
    """What came back is not what was stored, or a command failed."""


@dataclass
class Story:
    """The timeline and its figures."""

    began: float = field(default_factory=time.monotonic)
    first_byte_s: float = 0.0
    bytes_compared: int = 0
    files_compared: int = 0
    fall: kill.Fall | None = None

    def tell(self, text: str) -> None:
        """One line of the timeline."""
        print(f"{time.monotonic() - self.began:7.2f} s  {text}", flush=True)


def run(directory: Path | None, engine: str = "sqlite") -> int:
    """Tell the story in `directory` (a temporary one by default). 0 when all was equal."""
    story = Story()
    with _workplace(directory) as (demo, scratch):
        try:
            _tell(story, demo, scratch, engine)
        except (Disagreement, ThesanError, subprocess.TimeoutExpired) as error:
            story.tell(f"FAILED: {error}")
            _show_logs(demo)
            return 1
        finally:
            lifecycle.stop(demo)
            with contextlib.suppress(ThesanError):
                lifecycle.purge(demo)
    story.tell("stopped, data removed")
    fall = story.fall
    assert fall is not None
    print(
        f"\nStored and read back {story.files_compared} files "
        f"({human_count(story.bytes_compared)}), every byte equal; first byte stored "
        f"{story.first_byte_s:.2f} s after the processes' start. The master was killed in the "
        f"middle of a copy: {fall.new_master} took over {fall.new_master_s:.2f} s later, the first "
        f"write was acknowledged after {fall.first_write_s:.2f} s, nothing was lost and nobody saw "
        "an error."
    )
    return 0


def _tell(story: Story, demo: Path, scratch: Path, engine: str) -> None:
    tree = _pick_tree(scratch)
    story.tell(
        f"starting {MGM_COUNT} MGMs on {engine}, and {FST_COUNT} FSTs with 2 filesystems each"
    )
    plan = lifecycle.start(demo, MGM_COUNT, FST_COUNT, engine)
    started = time.monotonic()
    asyncio.run(lifecycle.wait_ready(plan))
    asyncio.run(lifecycle.configure(plan))
    story.tell("all filesystems booted and online; new files get two replicas")
    probe_file = scratch / "hello"
    probe_file.write_text("the first bytes\n", encoding="utf-8")
    _thesan(plan, "cp", str(probe_file), "/hello")
    story.first_byte_s = time.monotonic() - started
    story.tell(f"first byte stored {story.first_byte_s:.2f} s after the start")

    _thesan(plan, "cp", "-r", str(tree), "/thesan-in")
    story.tell("copied the Python standard library in with thesan cp")
    _thesan(plan, "cp", "-r", "/thesan-in", str(scratch / "thesan-out"), remote_source=True)
    _compare(story, tree, scratch / "thesan-out", "thesan cp in and out")
    if shutil.which("xrdcp"):
        _by_xrdcp(story, plan, tree, scratch)
    else:
        story.tell("xrdcp is not installed: its part is left out")
    _show(plan, "fs", "ls")
    _show(plan, "ns", "master")
    _kill_in_the_middle(story, plan, tree, scratch)
    _show(plan, "ns", "master")
    _show(plan, "ns", "master", "--history")
    _compare_views(story, plan)


def _show(plan: Plan, *words: str) -> None:
    print(f"\n$ thesan {' '.join(words)}\n{_thesan(plan, *words)}\n", flush=True)


def _by_xrdcp(story: Story, plan: Plan, tree: Path, scratch: Path) -> None:
    # XrdCl takes one name in a URL, with as many addresses as DNS gives; here, any one MGM.
    url = f"root://{plan.mgms[-1]}/"
    environment = {**os.environ, "XRD_LOGLEVEL": "Error"}
    _thesan(plan, "mkdir", "/xrdcp-in")
    _command(["xrdcp", "-s", "-r", str(tree), f"{url}/xrdcp-in/"], environment)
    story.tell(f"copied the same tree in with xrdcp -r, by way of mgm{len(plan.mgms)}")
    out = scratch / "xrdcp-out"
    out.mkdir()
    _command(["xrdcp", "-s", "-r", f"{url}/xrdcp-in/{tree.name}", str(out)], environment)
    _compare(story, tree, out / tree.name, "xrdcp in and out")
    _thesan(plan, "cp", "-r", f"/xrdcp-in/{tree.name}", str(scratch / "cross"), remote_source=True)
    _compare(story, tree, scratch / "cross", "in by xrdcp, out by thesan cp")


def _kill_in_the_middle(story: Story, plan: Plan, tree: Path, scratch: Path) -> None:
    wanted = sum(1 for path in tree.rglob("*") if path.is_file())
    before = _file_count(plan)
    copy = subprocess.Popen(_argv("cp", "-r", str(tree), "/killed-in"), env=_environment(plan))
    try:
        while _file_count(plan) < before + wanted // 4 and copy.poll() is None:
            time.sleep(lifecycle.POLL_SECONDS)
        if copy.poll() is not None:
            raise Disagreement(f"the copy ended ({copy.returncode}) before the master was killed")
        fall = story.fall = asyncio.run(kill.strike(plan))
        story.tell(f"kill -9 {fall.old_master}, the master of epoch {fall.old_epoch}, in mid-copy:")
        story.tell(f"  {fall.new_master} is master with epoch {fall.new_epoch} "
                   f"{fall.new_master_s:.2f} s after the blow")  # fmt: skip
        story.tell(f"  first write acknowledged {fall.first_write_s:.2f} s after the blow")
        status = copy.wait(COPY_SECONDS_MAX)
    finally:
        if copy.poll() is None:
            copy.kill()
            copy.wait()
    if status != 0:
        raise Disagreement(f"the copy ended with status {status}")
    story.tell("the copy went on and finished")
    _thesan(plan, "cp", "-r", "/killed-in", str(scratch / "killed-out"), remote_source=True)
    _compare(story, tree, scratch / "killed-out", "copied through the master's death")
    if fall.new_master == fall.old_master:
        raise Disagreement(f"{fall.old_master} took over from itself")
    look = _until_standby(plan, fall.old_master)
    story.tell(f"{fall.old_master} was started again and is {look.role}, journal {look.applied}")


def _until_standby(plan: Plan, name: str) -> MgmLook:
    address = next(address for address, known in plan.names().items() if known == name)
    deadline = time.monotonic() + RECOVERY_SECONDS_MAX
    while True:
        look = asyncio.run(probe.look_at_all([address]))[0]
        if look.role == "standby":
            return look
        if time.monotonic() > deadline:
            raise Disagreement(f"{name} did not come back as standby: {look.role} {look.error}")
        time.sleep(lifecycle.POLL_SECONDS)


def _compare_views(story: Story, plan: Plan) -> None:
    """`fs ls` of each MGM, asked by itself: the same everywhere."""
    deadline = time.monotonic() + RECOVERY_SECONDS_MAX
    while True:
        views = asyncio.run(_views(plan))
        if all(view == views[0] for view in views) and len(views[0]) == 2 * len(plan.fsts):
            story.tell(f"fs ls: the same {len(views[0])} filesystems on all {len(views)} MGMs")
            return
        if time.monotonic() > deadline:
            raise Disagreement(f"fs ls differs between MGMs: {views}")
        time.sleep(lifecycle.POLL_SECONDS)


async def _views(plan: Plan) -> list[list[dict[str, Any]]]:
    async def view(address: str) -> list[dict[str, Any]]:
        seconds = probe.LOOK_SECONDS_MAX
        try:
            async with probe.at(parse_endpoints(address)[0], seconds) as connection:
                reply = await probe.ask(connection, Admin("fs", "ls"), seconds)
        except ThesanError as error:
            return [{"error": str(error)}]
        assert isinstance(reply, AdminReply)
        return [{key: record.get(key) for key in SAME_EVERYWHERE} for record in reply.records]

    return list(await asyncio.gather(*(view(address) for address in plan.mgms)))


def _file_count(plan: Plan) -> int:
    records = asyncio.run(lifecycle.admin(plan, "ns", "stat"))
    merged = {key: value for record in records for key, value in record.items()}
    return int(merged["ns.total.files"])


@contextlib.contextmanager
def _workplace(directory: Path | None) -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="thesan-demo-") as temporary:
        scratch = Path(temporary) / "scratch"
        scratch.mkdir()
        yield directory or Path(temporary) / "instance", scratch


def _pick_tree(scratch: Path) -> Path:
    """A copy of the standard library's sources: a real tree, the same on every machine."""
    source = Path(sysconfig.get_path("stdlib"))
    target = scratch / "stdlib"

    def ignore(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name in SKIPPED or name.startswith("config-")]

    shutil.copytree(source, target, ignore=ignore, ignore_dangling_symlinks=True)
    return target


def _compare(story: Story, left: Path, right: Path, what: str) -> None:
    files = {path.relative_to(left) for path in left.rglob("*") if path.is_file()}
    others = {path.relative_to(right) for path in right.rglob("*") if path.is_file()}
    if files != others:
        odd = sorted(str(path) for path in files ^ others)
        raise Disagreement(f"{what}: {len(odd)} files on one side only, such as {odd[0]}")
    size = 0
    for path in sorted(files):
        data = (left / path).read_bytes()
        if data != (right / path).read_bytes():
            raise Disagreement(f"{what}: {path} differs")
        size += len(data)
    story.files_compared += len(files)
    story.bytes_compared += size
    story.tell(f"{what}: {len(files)} files, {human_count(size)}, every byte equal")


def _argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "thesan", *words]


def _environment(plan: Plan) -> dict[str, str]:
    return {**os.environ, "THESAN_MGM_URL": plan.url}


def _thesan(plan: Plan, *words: str, remote_source: bool = False) -> str:
    if remote_source:
        # `cp` takes a path that exists locally for local: say which one we mean.
        words = (words[0], words[1], plan.url + words[2], *words[3:])
    return _command(_argv(*words), _environment(plan))


def _command(argv: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, timeout=COPY_SECONDS_MAX, check=False
    )
    if done.returncode != 0:
        words = " ".join(argv[2:] if argv[0] == sys.executable else argv)
        raise Disagreement(f"{words}: status {done.returncode}: {done.stderr.strip()[-800:]}")
    return done.stdout.rstrip("\n")


def _show_logs(demo: Path) -> None:
    for log in sorted(demo.glob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        if lines:
            print(f"--- {log.name}", *lines, sep="\n", flush=True)
