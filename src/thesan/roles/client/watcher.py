"""A connection to every MGM, and on each a long poll: who is master now?

A change of master is heard within the round trip after the new one is up, whatever became of the
old one: no timeout is waited for, and silence alone moves nothing. It begins when a request waits
for longer than it should, or fails, or when the client lives for some time: a command that asks one
question does not pay for it.
"""

import asyncio
import errno
from collections.abc import Callable

from thesan.core.control.messages import Leader, Watch, decode_reply, encode_request
from thesan.core.model.errors import ControlError, OperationError
from thesan.core.model.limits import (
    CLIENT_WATCH_GRACE_SECONDS,
    CLIENT_WATCH_PAUSE_SECONDS,
    CLIENT_WATCH_SECONDS,
    MGM_REDIAL_SECONDS,
    MGM_REDIAL_SECONDS_MAX,
)
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import Call, ClientConnection, error_of
from thesan.roles.client.masters import Masters
from thesan.roles.client.pool import Pool
from thesan.roles.client.url import Endpoint

_NO_WATCH = frozenset({errno.ENOTSUP, errno.ENOSYS, errno.EPROTO, errno.EACCES, errno.EINVAL})
"""Answers of a server that is no MGM of ours: it is not asked again."""


class Watcher:
    """One for a client."""

    def __init__(
        self, pool: Pool, masters: Masters, on_news: Callable[[Endpoint | None], None]
    ) -> None:
        """`on_news` is called when there is a new master, with None when an MGM is back."""
        self._pool = pool
        self._masters = masters
        self._on_news = on_news
        self._tasks = TaskOwner("watch")
        self._watches: dict[Endpoint, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._is_closed = False

    @property
    def is_on(self) -> bool:
        """It has begun."""
        return bool(self._watches)

    def begin(self) -> None:
        """Watch every MGM that is known, and those that are learned later."""
        if not self._is_closed:
            for endpoint in self._masters.mgms:
                if endpoint not in self._watches:
                    watch = self._tasks.start(f"mgm {endpoint}", self._keep(endpoint))
                    self._watches[endpoint] = watch

    def check(self) -> None:
        """Something takes long: find out which of the kept connections are dead ones."""
        for endpoint in self._watches:
            connection = self._pool.find(endpoint)
            if connection is not None:
                connection.check()

    async def close(self) -> None:
        """End all."""
        self._is_closed = True
        await self._tasks.close()
        self._watches.clear()

    def _follow_members(self) -> None:
        self.begin()
        known = frozenset(self._masters.mgms)
        for endpoint in [one for one in self._watches if one not in known]:
            self._watches.pop(endpoint).cancel()

    async def _keep(self, endpoint: Endpoint) -> None:
        pause = MGM_REDIAL_SECONDS
        while True:
            try:
                connection = await self._pool.get(endpoint, is_mgm=True)
                if not connection.is_manager:
                    return
                pause = MGM_REDIAL_SECONDS
                await self._poll(endpoint, connection)
            except OperationError as error:
                if error.errno in _NO_WATCH:
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, MGM_REDIAL_SECONDS_MAX)

    async def _poll(self, endpoint: Endpoint, connection: ClientConnection) -> None:
        """Ask until the connection breaks. Raises OperationError."""
        is_first = True
        while True:
            began = self._loop.time()
            leader = await self._ask(connection)
            is_news = self._heard(endpoint, leader)
            if is_news:
                self._on_news(self._masters.master)
            elif is_first:
                self._on_news(None)
            is_first = False
            if not is_news and self._loop.time() - began < CLIENT_WATCH_PAUSE_SECONDS:
                # It does not let us wait: not to be asked all the time.
                await asyncio.sleep(CLIENT_WATCH_PAUSE_SECONDS)

    def _heard(self, endpoint: Endpoint, leader: Leader) -> bool:
        masters = self._masters
        epoch, address = leader.epoch, leader.master_address
        if leader.role == "master":
            is_news = masters.heard_self(epoch, address, leader.mgms, endpoint)
        else:
            is_news = masters.heard(epoch, address, leader.mgms)
        self._follow_members()
        return is_news

    async def _ask(self, connection: ClientConnection) -> Leader:
        message = Watch(self._masters.epoch, int(CLIENT_WATCH_SECONDS * 1000))
        query = rq.Query(NO_SID, QueryCode.OPAQUE, args=encode_request(message))
        timeout = CLIENT_WATCH_SECONDS + CLIENT_WATCH_GRACE_SECONDS
        try:
            response = await connection.call(query, timeout, Call.POLL)
        except OperationError as error:
            if error.errno == errno.ETIMEDOUT:
                connection.check()
            raise
        if response.status == Status.WAIT:
            raise OperationError(errno.EAGAIN, "it says wait")
        if response.status != Status.OK:
            raise error_of(response)
        try:
            reply = decode_reply(bytes(response.body))
        except ControlError as error:
            raise OperationError(errno.EPROTO, str(error)) from error
        if not isinstance(reply, Leader):
            raise OperationError(errno.EPROTO, f"answer is {type(reply).__name__}")
        return reply
