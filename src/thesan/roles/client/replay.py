"""What was written to an upload so far, while it is little: enough to begin it anew elsewhere.

An upload is bound to its FST and appears only when it is committed, so one that is begun anew at
another FST with the same bytes can't be told from the first. Long uploads are not kept: their
writer learns of the loss, and has the source.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterator

from zlib_ng import zlib_ng

from thesan.core.model.errors import OperationError, WireError
from thesan.core.model.limits import COPY_TRIES_MAX, REPLAY_BYTES_MAX
from thesan.core.model.paths import join_cgi
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import parse_checksum, parse_stat
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.io.transport.client import ClientConnection, error_of
from thesan.roles.client.place import Place
from thesan.roles.client.pool import Pool
from thesan.roles.client.router import ELSEWHERE, Router


class Replay:
    """The acknowledged writes of one upload."""

    def __init__(self) -> None:
        self._bytes_max = REPLAY_BYTES_MAX
        self._content: bytearray | None = bytearray()

    @property
    def is_whole(self) -> bool:
        """Everything that was written is here."""
        return self._content is not None

    @property
    def size(self) -> int:
        """Size of the upload as far as it is known here."""
        return len(self._content) if self._content is not None else 0

    def wrote(self, offset: int, data: memoryview | bytes) -> None:
        """A write was acknowledged."""
        content, end = self._content, offset + len(data)
        if content is None:
            return
        if end > self._bytes_max:
            self._content = None
            return
        if offset > len(content):
            content.extend(bytes(offset - len(content)))
        content[offset:end] = data

    def truncated(self, size: int) -> None:
        """A truncate was acknowledged."""
        content = self._content
        if content is None:
            return
        if size > self._bytes_max:
            self._content = None
        elif size < len(content):
            del content[size:]
        else:
            content.extend(bytes(size - len(content)))

    def requests(self, handle: int, step: int) -> Iterator[rq.Request]:
        """The same upload once more, to a fresh handle."""
        content = bytes(self._content or b"")
        for offset in range(0, len(content), step):
            yield rq.Write(NO_SID, handle, offset, data=content[offset : offset + step])

    def adler32(self) -> str:
        """Checksum of the whole, as servers write it."""
        return f"{zlib_ng.adler32(bytes(self._content or b'')):08x}"


async def play(
    requests: list[rq.Request], connection: ClientConnection, seconds_max: float
) -> None:
    """Send them one by one. Raises OperationError when one is not answered by ok."""
    for request in requests:
        response = await connection.call(request, seconds_max)
        if response.status != Status.OK:
            raise error_of(response)


async def begin_anew(
    replay: Replay,
    open_elsewhere: Callable[[], Awaitable[Place]],
    pool: Pool,
    deadline: float,
    tried: dict[str, str],
    step: int,
    *,
    is_synced: bool,
) -> Place:
    """The same upload at another FST, as far as it was acknowledged: one try is committed.

    `open_elsewhere` leaves out the hosts in `tried`. Raises OperationError.
    """
    loop = asyncio.get_running_loop()
    tries = 0
    while True:
        place = await open_elsewhere()
        requests = [*replay.requests(place.handle, step)]
        if is_synced:
            requests.append(rq.Sync(NO_SID, place.handle))
        try:
            await play(requests, place.connection, deadline - loop.time())
        except BaseException as error:
            tries += 1
            if not place.connection.is_closed:
                pool.retire(place.endpoint, place.connection)
            pool.release(place.endpoint, place.connection)
            if not isinstance(error, OperationError) or tries >= COPY_TRIES_MAX:
                raise
            tried[place.endpoint.host] = ELSEWHERE.get(error.errno, "srverr")
            continue
        return place


async def is_committed(router: Router, path: str, replay: Replay, deadline: float) -> bool:
    """Whether a close whose answer was lost has committed the upload: size and checksum tell.

    Raises OperationError ETIMEDOUT when nobody says so in time.
    """
    args = join_cgi(path, "cks.type=adler32").encode()
    query = rq.Query(NO_SID, QueryCode.CHECKSUM, args=args)
    try:
        answer = await router.ask(rq.Stat(NO_SID, path), deadline=deadline)
        if parse_stat(bytes(answer.body)).size != replay.size:
            return False
        kind, value = parse_checksum(bytes((await router.ask(query, deadline=deadline)).body))
    except OperationError as error:
        if error.errno == errno.ETIMEDOUT:
            raise
        return False
    except WireError:
        return False
    return kind == "adler32" and value.lower().rjust(8, "0") == replay.adler32()
