"""What a client knows of the MGMs: their addresses, and who is master with which epoch.

It only goes forwards: what is said of an epoch below the highest one heard is old news, whoever
says it.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from thesan.core.model.addresses import is_address, split_address
from thesan.core.model.limits import MGM_COUNT_MAX
from thesan.roles.client.url import Endpoint


class Masters:
    """One client's knowledge. `given` are the MGMs of its URL, at least one; they stay."""

    def __init__(self, given: tuple[Endpoint, ...]) -> None:
        self.epoch = 0
        """Highest one heard."""
        self.master: Endpoint | None = None
        """The master of that epoch, None while nobody named it."""
        self.current = given[0]
        """Who is asked first: the master, unless it failed since."""
        self._given = tuple(dict.fromkeys(given))[:MGM_COUNT_MAX]
        self._learned: tuple[Endpoint, ...] = ()
        self._aliases: dict[str, Endpoint] = {}
        """What an MGM calls itself: how we reach it."""

    @property
    def mgms(self) -> tuple[Endpoint, ...]:
        """All that are known; those of the URL first."""
        return (*self._given, *self._learned)

    def is_mgm(self, endpoint: Endpoint) -> bool:
        """Whether it is one of them."""
        return endpoint in self._given or endpoint in self._learned

    def is_old(self, epoch: int) -> bool:
        """Whether that epoch is over."""
        return epoch < self.epoch

    def heard_self(self, epoch: int, address: str, mgms: Iterable[str], place: Endpoint) -> bool:
        """The MGM that we reach at `place` says that it is the master, and calls itself `address`.

        Names may be known inside the instance only: the way that leads there is the better one.
        """
        if not self.is_old(epoch) and address and len(self._aliases) < MGM_COUNT_MAX:
            self._aliases[address] = place
        return self.heard(epoch, address, mgms)

    def heard(self, epoch: int, address: str, mgms: Iterable[str] = ()) -> bool:
        """Somebody named the master of an epoch, empty for none, and the members.

        True when it is a master that we did not know of: all that is pending is for him.
        """
        if self.is_old(epoch):
            return False
        self._learn(mgms)
        if epoch > self.epoch:
            self.epoch = epoch
            self.master = None
        if self.master is not None or not is_address(address):
            return False
        self.master = self.current = self._place(address)
        if not self.is_mgm(self.master):
            self._learned = (self.master, *self._learned)[: MGM_COUNT_MAX - len(self._given)]
        return True

    def arrived(self, endpoint: Endpoint) -> None:
        """It did what only a master does."""
        self.current = endpoint

    def failed(self, endpoint: Endpoint, live: Iterable[Endpoint] = ()) -> None:
        """It was not reached, or is not master: ask the master if that is another one, else the
        next; in both cases one of `live` (connected) if there are any."""
        if endpoint != self.current:
            return
        mgms = self.mgms
        start = mgms.index(endpoint) + 1 if endpoint in mgms else 0
        ring = [*mgms[start:], *mgms[:start]]
        others = [one for one in ring if one != endpoint]
        preferred = frozenset(live)
        if self.master in preferred and self.master != endpoint:
            others.insert(0, self.master)
        self.current = next((one for one in others if one in preferred), (others or ring)[0])

    def _learn(self, mgms: Iterable[str]) -> None:
        places = [self._place(address) for address in mgms if is_address(address)]
        if places:
            fresh = [place for place in dict.fromkeys(places) if place not in self._given]
            self._learned = tuple(fresh[: MGM_COUNT_MAX - len(self._given)])

    def _place(self, address: str) -> Endpoint:
        return self._aliases.get(address) or Endpoint(*split_address(address))


class News:
    """Wakes those who wait for something that may be overtaken by news of a master."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sleepers: dict[asyncio.Future[bool], None] = {}

    def tell(self) -> None:
        """There are news."""
        for sleeper in self._sleepers:
            _wake(sleeper, True)

    async def sleep(self, seconds: float) -> bool:
        """Wait, but not longer than until there are news: True then."""
        sleeper: asyncio.Future[bool] = self._loop.create_future()
        timer = self._loop.call_later(seconds, _wake, sleeper, False)
        self._sleepers[sleeper] = None
        try:
            return await sleeper
        finally:
            timer.cancel()
            del self._sleepers[sleeper]

    async def until(self, other: "asyncio.Future[Any]", seconds: float) -> None:
        """Wait until `other` is done or there are news; `seconds` bound it."""
        sleeper: asyncio.Future[bool] = self._loop.create_future()

        def ended(_: "asyncio.Future[Any]") -> None:
            _wake(sleeper, False)

        timer = self._loop.call_later(seconds, _wake, sleeper, False)
        self._sleepers[sleeper] = None
        other.add_done_callback(ended)
        try:
            await sleeper
        finally:
            other.remove_done_callback(ended)
            timer.cancel()
            del self._sleepers[sleeper]


def _wake(sleeper: "asyncio.Future[bool]", is_news: bool) -> None:
    if not sleeper.done():
        sleeper.set_result(is_news)
