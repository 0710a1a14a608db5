"""What a command that waits tells a person: that nobody answers, or nobody as master, and why."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from thesan.cli import probe
from thesan.cli.probe import MgmLook
from thesan.roles.client.filesystem import Filesystem

PATIENCE_SECONDS: Final = 2.0
"""A change of master is over by then. Doubled from look to look: a long copy asks nobody much."""
LOOK_SECONDS: Final = 1.0
"""For an MGM to say what it is: the first notice comes after 2 to 3 s."""
PAUSE_SECONDS_MAX: Final = 60.0
"""Between two looks."""
REASONS_SHOWN_MAX: Final = 3


async def tell(fs: Filesystem, url: str, *, any_mgm: bool) -> None:
    """Say it on standard error, once, when what the command asked for has nobody to answer it.

    Runs beside the command until then, or until it is cancelled.
    """
    pause = PATIENCE_SECONDS
    while True:
        await asyncio.sleep(pause)
        # The client watches the MGMs as soon as a request had to wait; until then all is well.
        if fs.router.watcher.is_on:
            addresses = [str(endpoint) for endpoint in fs.router.masters.mgms]
            looks = await probe.look_at_all(addresses, LOOK_SECONDS)
            text = notice(looks, url, any_mgm=any_mgm)
            if text:
                print(f"thesan: {text}", file=sys.stderr, flush=True)
                return
        pause = min(2 * pause, PAUSE_SECONDS_MAX)


def notice(looks: Sequence[MgmLook], url: str, *, any_mgm: bool) -> str:
    """What the MGMs' words mean for a command; empty when there is somebody to answer it."""
    if all(look.error for look in looks):
        return f"no MGM answers at {url}, trying on (Ctrl-C ends it): {reasons(looks)}"
    if any_mgm or probe.master_of(looks) is not None:
        return ""
    return (
        "no master answers at the moment, trying on (Ctrl-C ends it; "
        "`thesan --any ...` asks a standby, `thesan ns master` tells more)"
    )


def reasons(looks: Sequence[MgmLook]) -> str:
    """Why each does not answer, at most REASONS_SHOWN_MAX of them."""
    texts = [
        look.error if _host(look) in look.error else f"{look.address}: {look.error}"
        for look in looks
        if look.error
    ]
    more = len(texts) - REASONS_SHOWN_MAX
    return "; ".join(texts[:REASONS_SHOWN_MAX]) + (f"; {more} more" if more > 0 else "")


def _host(look: MgmLook) -> str:
    return look.address.rpartition(":")[0]
