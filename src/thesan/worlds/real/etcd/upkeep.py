"""An operator's view of an etcd, and the way out when its quota is reached.

    drop entries ─► compact ─► defragment followers, then the leader ─► disarm

Each step alone is not enough: removed keys stay in the history until it is compacted, free pages
stay in the file until it is defragmented, and an alarm that is disarmed before comes back at once.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec

from thesan.core.model.errors import JournalError, Unavailable
from thesan.core.model.etcd_limits import ETCD_CALL_SECONDS_MAX, ETCD_UPKEEP_SECONDS_MAX
from thesan.core.model.ids import Seq
from thesan.worlds.real.etcd import messages, quota, requests
from thesan.worlds.real.etcd.endpoint import (
    ALARM,
    COMPACT,
    DEFRAGMENT,
    MEMBER_LIST,
    MOVE_LEADER,
    STATUS,
    TXN,
    Endpoint,
    EtcdError,
    Failure,
)
from thesan.worlds.real.etcd.engine import EtcdEngine

_ALARM_GET: Final = 0
_ALARM_DEACTIVATE: Final = 2
"""AlarmRequest.AlarmAction"""
_NOSPACE: Final = 1
_ALARM_NAMES: Final = {_NOSPACE: "NOSPACE", 2: "CORRUPT"}
"""AlarmType"""


class MemberState(msgspec.Struct, frozen=True):
    """One member as it answers for itself."""

    address: str
    """As in the spec."""
    name: str = ""
    role: str = "down"
    """leader, follower, learner, or down: no answer."""
    version: str = ""
    db_bytes: int = 0
    """Size of its file."""
    used_bytes: int = 0
    """Of which in use; the rest is free for new entries."""
    quota_bytes: int = 0
    raft_index: int = 0
    alarms: str = ""
    latency_ms: float = 0.0
    """Of its own answer."""
    detail: str = ""
    """Why it is down, or what it complains of."""


class Step(msgspec.Struct, frozen=True):
    """One step of a recovery."""

    step: str
    """drop, compact, defragment, move-leader, disarm."""
    target: str
    """Of what, or at which member."""
    before: int
    after: int
    """Entries or bytes; the same in a dry run."""
    done: bool
    """False in a dry run."""


async def members(engine: EtcdEngine) -> list[MemberState]:
    """All members of the spec, asked at the same time."""
    client = engine.client
    try:
        listed = (await client.call(MEMBER_LIST, messages.MemberListRequest())).response.members
        alarms = (
            await client.call(ALARM, messages.AlarmRequest(action=_ALARM_GET))
        ).response.alarms
    except Unavailable:
        listed, alarms = [], []
    names = {member.ID: member.name for member in listed}
    raised: dict[int, list[str]] = {}
    for alarm in alarms:
        text = _ALARM_NAMES.get(alarm.alarm, str(alarm.alarm))
        raised.setdefault(alarm.memberID, []).append(text)
    return list(
        await asyncio.gather(*(_member(engine, one, names, raised) for one in client.endpoints))
    )


async def _member(
    engine: EtcdEngine, endpoint: Endpoint, names: dict[int, str], alarms: dict[int, list[str]]
) -> MemberState:
    loop = asyncio.get_running_loop()
    before = loop.time()
    try:
        state = await engine.client.call_at(
            endpoint, STATUS, messages.StatusRequest(), ETCD_CALL_SECONDS_MAX
        )
    except EtcdError as error:
        return MemberState(endpoint.address, detail=str(error))
    latency = loop.time() - before
    member = state.header.member_id
    return MemberState(
        endpoint.address,
        names.get(member, f"{member:x}"),
        requests.role_of(state),
        state.version,
        state.dbSize,
        state.dbSizeInUse or state.dbSize,
        engine.client.spec.quota_bytes or await quota.ask(engine.client, state),
        state.raftIndex,
        ",".join(alarms.get(member, [])),
        round(latency * 1000, 3),
        "; ".join(state.errors),
    )


async def recover(
    engine: EtcdEngine, before: Seq | None, *, dry_run: bool
) -> AsyncGenerator[Step, None]:
    """Make room in an etcd whose quota is reached, and let it write again. Safe to call again.

    Entries below `before` are dropped, never the newest; None: none is, as when the master has
    trimmed already. The caller says so because it alone can know what the MGMs hold durably.
    Raises JournalError: a member that does not answer would raise the alarm again.
    """
    client = engine.client
    states = await members(engine)
    listed = (await client.call(MEMBER_LIST, messages.MemberListRequest())).response.members
    known = {endpoint.member_id for endpoint in client.endpoints if endpoint.member_id}
    missing = [one.name or f"{one.ID:x}" for one in listed if one.ID not in known]
    down = [state.address for state in states if state.role == "down"]
    if missing or down:
        raise JournalError(
            f"not reached: {', '.join(down + missing)}. Every member has to be defragmented: start"
            " it, name it in the spec, or take it out of the cluster"
        )
    if before is not None:
        yield await _drop(engine, before, dry_run=dry_run)
    yield await _compact(engine, states, dry_run=dry_run)
    followers = [one for one, state in zip(client.endpoints, states, strict=True)
                 if state.role != "leader"]  # fmt: skip
    leaders = [one for one in client.endpoints if one not in followers]
    for endpoint in followers:
        yield await _defragment(engine, endpoint, dry_run=dry_run)
    for endpoint in leaders:
        if followers:
            # A defragmentation stops its member: while it lasts, another one leads.
            yield await _move_leader(engine, endpoint, followers[0], dry_run=dry_run)
        yield await _defragment(engine, endpoint, dry_run=dry_run)
    for alarm in await _alarms(engine):
        if alarm.alarm != _NOSPACE:
            continue  # A corrupt member needs a person.
        if not dry_run:
            request = messages.AlarmRequest(
                action=_ALARM_DEACTIVATE, memberID=alarm.memberID, alarm=_NOSPACE
            )
            await client.call(ALARM, request)
        yield Step("disarm", f"{alarm.memberID:x}", 1, int(dry_run), done=not dry_run)


async def _alarms(engine: EtcdEngine) -> list[Any]:
    answer = await engine.client.call(ALARM, messages.AlarmRequest(action=_ALARM_GET))
    return list(answer.response.alarms)


async def _drop(engine: EtcdEngine, before: Seq, *, dry_run: bool) -> Step:
    status = await engine.status()
    end = Seq(max(status.first, min(before, status.last)))
    if not dry_run:
        owner = await engine.owner()
        if owner is not None:
            await engine.trim(owner, end)
    left = status.last - end + 1
    return Step(
        "drop",
        f"entries {status.first}..{end - 1}" if end > status.first else "no entry",
        status.last - status.first + 1,
        status.last - status.first + 1 if dry_run else left,
        done=not dry_run,
    )


async def _compact(engine: EtcdEngine, states: list[MemberState], *, dry_run: bool) -> Step:
    """At the leader, and waited for: only then pages are free."""
    used = max(state.used_bytes for state in states)
    if dry_run:
        return Step("compact", str(engine.client.spec), used, used, done=False)
    answer = await engine.client.call(TXN, requests.txn([], [requests.get(engine.keys.newest)]))
    request = messages.CompactionRequest(revision=answer.response.header.revision, physical=True)
    endpoint = engine.client.usable()[0]
    try:
        await engine.client.call_at(endpoint, COMPACT, request, ETCD_UPKEEP_SECONDS_MAX)
    except EtcdError as error:
        if error.kind is not Failure.COMPACTED:
            raise
    after = max(state.used_bytes for state in await members(engine))
    return Step("compact", str(engine.client.spec), used, after, done=True)


async def _defragment(engine: EtcdEngine, endpoint: Endpoint, *, dry_run: bool) -> Step:
    size = (await _status(engine, endpoint)).dbSize
    if dry_run:
        return Step("defragment", endpoint.address, size, size, done=False)
    await engine.client.call_at(
        endpoint, DEFRAGMENT, messages.DefragmentRequest(), ETCD_UPKEEP_SECONDS_MAX
    )
    after = (await _status(engine, endpoint)).dbSize
    return Step("defragment", endpoint.address, size, after, done=True)


async def _move_leader(
    engine: EtcdEngine, leader: Endpoint, target: Endpoint, *, dry_run: bool
) -> Step:
    if not dry_run:
        request = messages.MoveLeaderRequest(targetID=target.member_id)
        await engine.client.call_at(leader, MOVE_LEADER, request, ETCD_UPKEEP_SECONDS_MAX)
    return Step("move-leader", target.address, 0, 0, done=not dry_run)


async def _status(engine: EtcdEngine, endpoint: Endpoint) -> Any:
    return await engine.client.call_at(
        endpoint, STATUS, messages.StatusRequest(), ETCD_UPKEEP_SECONDS_MAX
    )
