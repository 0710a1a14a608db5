"""`thesan ns master`: who is master and why, who was, and who is to be. EOS: `ns master [HOST]`."""

import argparse
import asyncio
import time
from collections.abc import Sequence
from typing import Final

from thesan.cli import probe
from thesan.cli.admin.answer import Routing, ask, print_change, print_records
from thesan.cli.context import Context, Output
from thesan.cli.probe import MgmLook
from thesan.cli.render import Column, Record, table
from thesan.core.control.messages import Admin, AdminReply
from thesan.core.model.errors import ThesanError
from thesan.core.model.units import NS_PER_S
from thesan.io.tasks import TaskOwner
from thesan.roles.client.filesystem import Filesystem

PROBE_SECONDS: Final = 0.02
"""Pause between the questions that measure the stall of a hand-over."""
SETTLE_SECONDS: Final = 0.3
"""Measured on after the hand-over: for a stall that comes late."""
MGMS: Final = (
    Column("hostport", "hostport", "left"),
    Column("role", "role", "left"),
    Column("epoch", "epoch"),
    Column("journal", "applied"),
    Column("lag", "lag"),
    Column("eligible", "eligible", "left"),
    Column("why", "why", "left"),
)
_OF_NOW: Final = ("master", "epoch", "asked", "role", "asked.why")
"""Fields of `ns master` that do not tell of a switch."""
HISTORY: Final = (
    Column("epoch", "epoch"),
    Column("master", "master", "left"),
    Column("before", "before", "left"),
    Column("since", "since", "left"),
    Column("ground", "ground", "left"),
    Column("silence ms", "silence_ms", "float"),
    Column("claim ms", "claim_ms", "float"),
    Column("replay ms", "replay_ms", "float"),
    Column("lease ms", "lease_ms", "float"),
    Column("total ms", "total_ms", "float"),
    Column("why", "why", "left"),
)


def run(context: Context, options: argparse.Namespace) -> int:
    """`ns master`, `ns master --history`, `ns master HOST[:PORT]`."""
    if options.host:
        return _hand_over(context, options.host)
    if options.history:
        return _history(context)
    return _show(context)


def _show(context: Context) -> int:
    """Any MGM knows, also while there is no master; then each one is asked what it is."""
    said = ask(context, "ns", "master", Routing.ANY).records
    mgms = ask(context, "mgm", "ls", Routing.ANY).records
    looks = asyncio.run(probe.look_at_all([str(one["hostport"]) for one in mgms]))
    for one, look in zip(mgms, looks, strict=True):
        one["role"] = look.role
        if look.error:
            one["why"] = f"does not answer: {look.error}"
        else:
            one["epoch"], one["applied"] = look.epoch, look.applied
    head = max((int(one["applied"]) for one in mgms), default=0)
    for one in mgms:
        one["lag"] = head - int(one["applied"])
    said = [as_they_say(one, looks) for one in said]
    if context.output is not Output.TABLE:
        records = [{"type": "master", **one} for one in said]
        return print_records(context, [*records, *({"type": "mgm", **one} for one in mgms)], ())
    for line in page(said[0] if said else {}, time.time()):
        print(line)
    print(table(mgms, MGMS, header=context.header))
    return 0


def as_they_say(said: Record, looks: Sequence[MgmLook]) -> Record:
    """What one MGM said of the master, held against what each says of itself: nobody is master who
    does not say so. A master of earlier is named as `last`."""
    named, epoch = said.get("master", ""), int(said.get("epoch", 0))
    now = probe.master_of(looks)
    if now is not None and named and now.epoch <= epoch:
        return said
    # The story is that of another term.
    record = {key: value for key, value in said.items() if key in _OF_NOW}
    if now is not None:
        return {**record, "master": now.master or now.address, "epoch": now.epoch}
    for look in looks:
        if look.address == named and look.error:
            record["asked.why"] = f"{named} was master, and does not answer: {look.error}"
    return {**record, "master": "", "last": named}


def page(master: Record, now_s: float) -> list[str]:
    """The lines above the table."""
    if not master.get("master"):
        of = f", of {master['last']}" if master.get("last") else ""
        known = f" (the last epoch is {master['epoch']}{of})" if master.get("epoch") else ""
        return [f"master   none at the moment{known}", f"why      {master.get('asked.why', '')}"]
    lines = [f"master   {master['master']}   epoch {master['epoch']}"]
    since_ns = int(master.get("since_ns", 0))
    if since_ns:
        since_s = since_ns / NS_PER_S
        lines[0] += f"   since {local_time(since_s)} ({span(now_s - since_s)})"
        lines.append(f"why      {master.get('why', '')}")
        if master.get("before"):
            lines.append(f"before   {master['before']}")
        phases = [
            f"{name.removesuffix('_ms')} {float(value):.0f}"
            for name, value in master.items()
            if name.endswith("_ms") and name != "total_ms"
        ]
        if "total_ms" in master:
            lines.append(f"took     {float(master['total_ms']):.0f} ms ({', '.join(phases)})")
    return lines


def local_time(seconds: float) -> str:
    """Wall-clock time as people read it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def span(seconds: float) -> str:
    """About how long: `7 s`, `12 min`, `3 h`, `5 days`."""
    for size, word in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{max(0.0, seconds):.0f} s"


def _history(context: Context) -> int:
    records = ask(context, "ns", "master", Routing.ANY, history=True).records
    if context.output is not Output.TABLE:
        return print_records(context, records, ())
    rows = [{**one, "since": local_time(int(one.get("since_ns", 0)) / NS_PER_S)} for one in records]
    return print_records(context, rows, HISTORY)


def _hand_over(context: Context, host: str) -> int:
    """Give the order, and ask the master something all the time: the longest answer is the stall
    that clients see."""

    async def work(fs: Filesystem) -> tuple[AdminReply, float, int]:
        stall_s = 0.0
        (before,) = (await fs.admin("ns", "master", leader=True)).records
        is_over = asyncio.Event()

        async def measure() -> None:
            nonlocal stall_s
            while not is_over.is_set():
                asked = time.monotonic()
                try:
                    await fs.control(Admin("whoami", "", {"leader": True}))
                except ThesanError:
                    return
                stall_s = max(stall_s, time.monotonic() - asked)
                await asyncio.sleep(PROBE_SECONDS)

        tasks = TaskOwner("ns-master")
        measuring = tasks.start("stall", measure())
        try:
            reply = await fs.admin("ns", "master", to=host, leader=True)
            await asyncio.sleep(SETTLE_SECONDS)
            is_over.set()
            await measuring
        finally:
            await tasks.close()
        return reply, stall_s, int(before["epoch"])

    reply, stall_s, old_epoch = context.with_filesystem(work)
    if reply.records and reply.records[0]["epoch"] == old_epoch:
        if context.output is not Output.TABLE:
            return print_records(context, reply.records, ())
        print(f"{reply.records[0]['master']} is master already, epoch {old_epoch}")
        return 0
    record = {**(reply.records[0] if reply.records else {}), "stall_ms": round(1000 * stall_s)}
    if context.output is not Output.TABLE:
        return print_records(context, [record], ())
    print_change(context, reply)
    print(f"longest answer of the master meanwhile, as a client saw it: {1000 * stall_s:.0f} ms")
    return 0
