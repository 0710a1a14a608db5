"""A watch of one range that survives its member: resumed elsewhere, without a hole.

    open(revision) ─► created ─► events ─► ...
        ▲                          │ broken, no leader, cancelled ─► the next member
        │                          │ silent, and a read shows that something was missed ─► same
        └── the last event's revision + 1 ◄──┘
                                   │ compacted ─► Compacted: the reader goes back to reading

It resumes behind the last *event* that it handed on. Revisions in headers say how far the member
is, not what was delivered: who resumes there loses what was still on its way.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

from thesan.core.model.errors import JournalError
from thesan.core.model.etcd_limits import (
    ETCD_CALL_SECONDS_MAX,
    ETCD_PAUSE_SECONDS,
    ETCD_PAUSE_SECONDS_MAX,
    ETCD_WATCH_SILENCE_SECONDS,
)
from thesan.worlds.real.etcd import messages
from thesan.worlds.real.etcd.client import Client
from thesan.worlds.real.etcd.endpoint import Endpoint, EtcdError, Failure, Stream

_NO_DELETE: Final = 1
"""WatchCreateRequest.FilterType.NODELETE."""


class Compacted(JournalError):
    """Events from the wanted revision on are gone. What they wrote may still be there to read."""


async def watch(
    client: Client,
    key: bytes,
    end: bytes,
    revision: int,
    newest_change: Callable[[], Awaitable[int]],
) -> AsyncGenerator[list[Any], None]:
    """Puts in [key, end) from `revision` on, as lists of KeyValue in order; never ends by itself.

    `newest_change()` reads the revision of the newest put in that range, at any member. Raises
    Compacted, and what `newest_change` raises.
    """
    resume = _Resume(revision)
    pause = ETCD_PAUSE_SECONDS
    while True:
        is_tried = False
        for endpoint in client.usable():
            client.check_open()
            try:
                stream = await _open(client, endpoint, key, end, resume.revision)
                try:
                    async with aclosing(_events(stream, resume, newest_change)) as batches:
                        async for events in batches:
                            is_tried = True
                            yield events
                finally:
                    await stream.close()
            except EtcdError as error:
                await _after(client, endpoint, error)
                if is_tried:
                    break  # It worked for a while: begin with the best member again.
        client.check_open()
        await asyncio.sleep(pause)
        pause = ETCD_PAUSE_SECONDS if is_tried else min(2 * pause, ETCD_PAUSE_SECONDS_MAX)


class _Resume:
    """Where to go on: the first revision of which not everything was handed on."""

    def __init__(self, revision: int) -> None:
        self.revision = revision

    def saw(self, response: Any) -> None:
        """`response` was handed on."""
        last: int = response.events[-1].kv.mod_revision
        # Of a response in fragments, one revision may continue in the next.
        self.revision = last if response.fragment else last + 1


async def _open(
    client: Client, endpoint: Endpoint, key: bytes, end: bytes, revision: int
) -> Stream:
    """A watch that the member has confirmed. Raises EtcdError."""
    request = messages.WatchRequest(
        create_request=messages.WatchCreateRequest(
            key=key, range_end=end, start_revision=revision, filters=[_NO_DELETE], fragment=True
        )
    )
    stream = await client.open_watch(endpoint, request)
    try:
        response = await stream.receive(ETCD_CALL_SECONDS_MAX)
        if response is None:
            raise EtcdError(Failure.SILENT, f"etcd {endpoint.address} does not open a watch")
        _check(endpoint, response)
    except BaseException:
        await stream.close()
        raise
    return stream


async def _events(
    stream: Stream, resume: _Resume, newest_change: Callable[[], Awaitable[int]]
) -> AsyncGenerator[list[Any], None]:
    """Events of one stream. Raises EtcdError when it is broken or behind."""
    missed = False
    while True:
        response = await stream.receive(ETCD_WATCH_SILENCE_SECONDS)
        if response is not None:
            missed = False
            _check(stream.endpoint, response)
            if response.events:
                yield [event.kv for event in response.events]
                resume.saw(response)
            continue
        if missed:
            raise EtcdError(Failure.SILENT, f"the watch at etcd {stream.endpoint.address} hangs")
        # Either nothing is written, or this member does not say so.
        if await newest_change() >= resume.revision:
            missed = True


def _check(endpoint: Endpoint, response: Any) -> None:
    if response.compact_revision:
        raise Compacted(f"etcd has compacted up to revision {response.compact_revision}")
    if response.canceled:
        # etcd says "permission denied" here to who has no valid token, too.
        raise EtcdError(Failure.TOKEN, f"etcd {endpoint.address}: {response.cancel_reason}")


async def _after(client: Client, endpoint: Endpoint, error: EtcdError) -> None:
    """What to do before the next member is tried."""
    if error.kind is Failure.SILENT:
        client.demote(endpoint)
    elif error.kind is Failure.TOKEN and client.spec.user:
        try:
            await client.log_in(endpoint)
        except EtcdError:
            pass  # The next member may answer.
