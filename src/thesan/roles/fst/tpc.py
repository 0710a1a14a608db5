"""Third-party copy: the rendezvous of a client, a source and a destination (xrootd.md 2.3).

At the source the client's own open registers a key; the destination's open with the same key and
path is let in by it, and may come first: then it waits. Hosts are not compared, since a host has
many names and addresses: the key is what only the three parties know. At the destination the first
kXR_sync starts the copy and the next one waits for its end.
"""

import asyncio
import errno
from collections.abc import Mapping

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import TPC_KEY_BYTES_MAX, TPC_KEY_SECONDS_MAX, TPC_KEYS_MAX
from thesan.io.tasks import TaskOwner
from thesan.io.transport.server import ServerConnection
from thesan.ports.log import Log
from thesan.roles.fst.handles import Reader
from thesan.roles.fst.store import FsStore
from thesan.roles.fst.tpc_pull import DialSource, Pull, Source
from thesan.roles.fst.upload import Upload

_PORT_DEFAULT = 1094
"""Port of root:// when tpc.src names none."""

Key = tuple[str, str]
"""(key, normalised path)."""


class _Offer(msgspec.Struct):
    """A key registered at the source."""

    store: FsStore
    fid: int
    until: float
    """Loop time."""


class Rendezvous:
    """Both halves. One for the FST."""

    def __init__(self, dial: DialSource, tasks: TaskOwner, log: Log) -> None:
        self._dial = dial
        self._tasks = tasks
        self._log = log
        self._offers: dict[Key, _Offer] = {}
        self._of_reader: dict[Reader, Key] = {}
        self._awaited: dict[Key, list[asyncio.Future[_Offer]]] = {}
        self._awaited_count = 0

    # -- at the source -----------------------------------------------------------------------
    def register(self, reader: Reader, cgi: Mapping[str, str]) -> None:
        """The client's open: with `tpc.dst` and a key it lets the destination in.

        Raises OperationError EUSERS when there are too many keys.
        """
        key = cgi.get("tpc.key", "")
        if not key or "tpc.dst" not in cgi or len(key) > TPC_KEY_BYTES_MAX:
            return
        now = asyncio.get_running_loop().time()
        self._expire(now)
        if len(self._offers) >= TPC_KEYS_MAX:
            raise OperationError(errno.EUSERS, "too many third-party copies")
        name = key, reader.path
        offer = _Offer(reader.store, reader.fid, now + TPC_KEY_SECONDS_MAX)
        self._offers[name] = offer
        self._of_reader[reader] = name
        for waiter in self._awaited.pop(name, []):
            if not waiter.done():
                waiter.set_result(offer)

    def withdraw(self, reader: Reader) -> None:
        """The client closed the source: its key lets nobody in any more."""
        name = self._of_reader.pop(reader, None)
        if name is not None:
            self._offers.pop(name, None)

    async def meet(self, path: str, cgi: Mapping[str, str]) -> tuple[FsStore, int] | None:
        """The destination's open: (filesystem, fid) once the key is registered.

        None when the open is no third-party copy's. Raises OperationError EACCES when nobody
        registers the key in time.
        """
        key = cgi.get("tpc.key", "")
        if not key or "tpc.org" not in cgi or "tpc.dst" in cgi:
            return None
        name = key, path
        loop = asyncio.get_running_loop()
        self._expire(loop.time())
        offer = self._offers.get(name)
        if offer is None:
            offer = await self._wait_for(name)
        return offer.store, offer.fid

    async def _wait_for(self, name: Key) -> _Offer:
        if self._awaited_count >= TPC_KEYS_MAX or len(name[0]) > TPC_KEY_BYTES_MAX:
            raise OperationError(errno.EUSERS, "too many third-party copies")
        waiter: asyncio.Future[_Offer] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(name, []).append(waiter)
        self._awaited_count += 1
        try:
            async with asyncio.timeout(TPC_KEY_SECONDS_MAX):
                return await waiter
        except TimeoutError as error:
            raise OperationError(errno.EACCES, "the key of this copy is not known") from error
        finally:
            self._awaited_count -= 1
            waiters = self._awaited.get(name)
            if waiters is not None and waiter in waiters:
                waiters.remove(waiter)
                if not waiters:
                    del self._awaited[name]

    def _expire(self, now: float) -> None:
        """Forget keys whose time is over; they are in order of registration."""
        while self._offers:
            name = next(iter(self._offers))
            if self._offers[name].until > now:
                return
            del self._offers[name]

    # -- at the destination ------------------------------------------------------------------
    def source_of(
        self, connection: ServerConnection, path: str, cgi: Mapping[str, str]
    ) -> Source | None:
        """Where an upload's bytes will be copied from, None when the client writes them itself.

        Raises OperationError EINVAL for a source that can't be read.
        """
        place, key = cgi.get("tpc.src", ""), cgi.get("tpc.key", "")
        if not place or not key:
            return None
        host, port = _split_source(place)
        origin = f"{connection.user}.{connection.pid}@{connection.peer_host}"
        return Source(host, port, cgi.get("tpc.lfn") or path, key, origin)

    def pull(self, upload: Upload, source: Source) -> Pull:
        """The copy, not yet started."""
        return Pull(upload, source, self._dial, self._tasks, self._log)


def _split_source(text: str) -> tuple[str, int]:
    """`[user@]host[:port]`, a v6 host in brackets."""
    place = text.rpartition("@")[2]
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = place.partition(":")
    if not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise OperationError(errno.EINVAL, f"can't read the source {text[:80]!r}")
    return host, int(port) if port else _PORT_DEFAULT
