"""`thesan demo kill-master`: the master dies, and a stopwatch runs.

Before the blow every MGM is watched over a connection of its own, and a client writes; so the times
are those at which a client could first know, not those of a poll.
"""

import asyncio
import contextlib
import errno
import secrets
import time
from collections.abc import Awaitable
from typing import Final

import msgspec

from thesan.cli import probe
from thesan.cli.connect import connect
from thesan.cli.demo.plan import Plan
from thesan.cli.supervisor_channel import tell
from thesan.core.control.messages import Leader, Watch
from thesan.core.model.errors import OperationError, ThesanError
from thesan.io.tasks import TaskOwner
from thesan.roles.client.url import parse_endpoints

TAKEOVER_SECONDS_MAX: Final = 120.0
"""Time for another MGM to become master; then it will not come by itself."""
WATCH_SECONDS: Final = 1.0
"""One long poll: a new master is told at once, so this only bounds a silent connection."""
POLL_SECONDS: Final = 0.02
"""Pause before an MGM that answers at once with nothing new, or not at all, is asked again."""


class Fall(msgspec.Struct):
    """What happened; times in seconds after the blow."""

    how: str
    """kill, host or stop."""
    names: list[str]
    """Daemons that were struck."""
    old_master: str
    old_epoch: int
    new_master: str = ""
    """Name of the MGM that is master now: perhaps the old one, started again."""
    new_epoch: int = 0
    new_master_s: float = 0.0
    first_write_s: float = 0.0


async def strike(
    plan: Plan, *, host: bool = False, stop_s: float = 0.0, down_s: float = 0.0
) -> Fall:
    """Kill or stop the master and wait until another one writes.

    `host`: everything of its number dies and stays down (for `down_s`; 0: until it is released).
    `stop_s`: SIGSTOP for so long instead. Raises OperationError ESRCH when there is no master,
    ETIMEDOUT when no new one comes.
    """
    master = probe.master_of(await probe.look_at_all(plan.mgms))
    if master is None:
        raise OperationError(errno.ESRCH, "no MGM says that it is master: see `thesan demo status`")
    old = plan.names()[master.address]
    names = plan.host_of(old) if host else [old]
    fall = Fall("host" if host else "stop" if stop_s else "kill", names, old, master.epoch)
    tasks = TaskOwner("kill-master")
    name = f"/demo-kill-{secrets.token_hex(4)}"
    async with connect(plan.url, patience_s=TAKEOVER_SECONDS_MAX) as fs:
        await fs.touch(name)  # the client has its connections before the blow
        seen: asyncio.Future[tuple[Leader, float]] = asyncio.get_running_loop().create_future()
        for address in plan.mgms:
            # A lone MGM is its own successor.
            if address != master.address or len(plan.mgms) == 1:
                tasks.start(f"watch {address}", _watch(address, master.epoch, seen))
        await asyncio.sleep(WATCH_SECONDS / 10)  # the watches are under way
        try:
            async with asyncio.timeout(TAKEOVER_SECONDS_MAX):
                struck = time.monotonic()
                if stop_s:
                    tell(plan.root, "pause", *names, seconds=stop_s)
                else:
                    tell(plan.root, "hold" if host else "kill", *names, seconds=down_s)
                write = tasks.start("write", _first_write(fs.touch(name)))
                leader, at = await seen
                fall.new_master = plan.names().get(leader.master_address, leader.master_address)
                fall.new_epoch = leader.epoch
                fall.new_master_s = at - struck
                fall.first_write_s = await write - struck
                await fs.rm(name)
        except TimeoutError:
            text = (
                f"no new master within {TAKEOVER_SECONDS_MAX:.0f} s; logs are in {plan.directory}"
            )
            raise OperationError(errno.ETIMEDOUT, text) from None
        finally:
            await tasks.close()
    return fall


async def _first_write(write: Awaitable[None]) -> float:
    """When a change that began after the blow was acknowledged."""
    await write
    return time.monotonic()


async def _watch(address: str, epoch: int, seen: "asyncio.Future[tuple[Leader, float]]") -> None:
    """Set `seen` at the first word of a master after `epoch`."""
    endpoint = parse_endpoints(address)[0]
    while not seen.done():
        with contextlib.suppress(ThesanError, OSError):
            async with probe.at(endpoint) as connection:
                while not seen.done():
                    asked = time.monotonic()
                    message = Watch(epoch, int(1000 * WATCH_SECONDS))
                    reply = await probe.ask(connection, message, 2 * WATCH_SECONDS)
                    now = time.monotonic()
                    if (
                        isinstance(reply, Leader)
                        and reply.epoch > epoch
                        and reply.master_address
                        and not seen.done()
                    ):
                        seen.set_result((reply, now))
                    elif now - asked < POLL_SECONDS:
                        await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(POLL_SECONDS)
