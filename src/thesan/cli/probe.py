"""Asking one MGM, and no other, what it is: no redirect followed, nobody asked in its place.

The client library finds the master wherever it is; who wants to see each MGM as it is comes here.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from thesan.core.control.messages import (
    Admin,
    AdminReply,
    Leader,
    Reply,
    Request,
    Watch,
    decode_reply,
    encode_request,
)
from thesan.core.model.errors import ControlError, OperationError, Retry, ThesanError
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import ClientConnection, LoginSettings, dial, error_of
from thesan.roles.client.url import Endpoint, parse_endpoints
from thesan.worlds.real.library import login_settings

LOOK_SECONDS_MAX: Final = 2.0
"""Time for one MGM to say what it is: one that takes longer is not there for a person."""
FIRST_SECONDS_MAX: Final = 1.0
"""Time for the MGMs of the URL to answer a read before all members are looked for."""


class MgmLook(msgspec.Struct, frozen=True):
    """What one MGM said of itself."""

    address: str
    role: str
    """master, standby, starting; `unknown` when it did not say, `error` tells why."""
    epoch: int = 0
    master: str = ""
    """`host:port` that it takes for the master."""
    applied: int = 0
    mgms: tuple[str, ...] = ()
    error: str = ""


@asynccontextmanager
async def at(
    endpoint: Endpoint, seconds: float = LOOK_SECONDS_MAX, login: LoginSettings | None = None
) -> AsyncIterator[ClientConnection]:
    """A logged-in connection to exactly this MGM. Raises OperationError."""
    connection = await dial(
        endpoint.host, endpoint.port, login or login_settings(), timeout=seconds
    )
    try:
        yield connection
    finally:
        connection.abort("it is not needed any more")


async def ask(connection: ClientConnection, message: Request, seconds: float) -> Reply:
    """One control message to the MGM at the other end.

    Raises OperationError: its error, EAGAIN when it says wait or points elsewhere.
    """
    query = rq.Query(NO_SID, QueryCode.OPAQUE, args=encode_request(message))
    response = await connection.call(query, seconds)
    if response.status in (Status.WAIT, Status.REDIRECT):
        text = f"{connection.host}:{connection.port} does not answer that itself now"
        raise OperationError(errno.EAGAIN, text)
    if response.status != Status.OK:
        raise error_of(response)
    try:
        return decode_reply(bytes(response.body))
    except ControlError as error:
        text = f"{connection.host}:{connection.port}: {error}"
        raise OperationError(errno.EPROTO, text) from error


async def look(endpoint: Endpoint, seconds: float = LOOK_SECONDS_MAX) -> MgmLook:
    """What the MGM at `endpoint` is now; never raises for an MGM that is not there."""
    address = str(endpoint)
    try:
        async with asyncio.timeout(seconds), at(endpoint, seconds) as connection:
            reply = await ask(connection, Watch(), seconds)
    except TimeoutError:
        return MgmLook(address, "unknown", error=f"no answer in {seconds:g} s")
    except (ThesanError, OSError) as error:
        return MgmLook(address, "unknown", error=str(error))
    if not isinstance(reply, Leader):
        return MgmLook(address, "unknown", error=f"answered {type(reply).__name__}")
    return MgmLook(
        address, reply.role, reply.epoch, reply.master_address, reply.applied, tuple(reply.mgms)
    )


async def look_at_all(addresses: Sequence[str], seconds: float = LOOK_SECONDS_MAX) -> list[MgmLook]:
    """All at once, in their order. Raises OperationError EINVAL for what is no host:port."""
    endpoints = [parse_endpoints(address)[0] for address in addresses]
    return list(await asyncio.gather(*(look(endpoint, seconds) for endpoint in endpoints)))


def master_of(looks: Sequence[MgmLook]) -> MgmLook | None:
    """The one that says it is master; of several, the one with the highest epoch."""
    masters = [one for one in looks if one.role == "master"]
    return max(masters, key=lambda one: one.epoch, default=None)


async def ask_whoever(addresses: Sequence[str], message: Admin) -> AdminReply:
    """An admin read from the MGM that answers first; those that are not in `addresses` are asked
    too when nobody of them does. Raises OperationError: an MGM's own, EHOSTUNREACH when none
    answers."""
    reply = await _first(addresses, message, FIRST_SECONDS_MAX)
    if reply is not None:
        return reply
    looks = await look_at_all(addresses)
    known = {one: None for look in looks for one in look.mgms}
    reply = await _first([*known] or addresses, message, LOOK_SECONDS_MAX)
    if reply is not None:
        return reply
    text = f"no MGM answers this: asked {', '.join([*known] or addresses)}"
    why = "; ".join(look.error for look in looks if look.error)
    if why:
        text += f" ({why})"
    raise OperationError(errno.EHOSTUNREACH, text)


async def _first(addresses: Sequence[str], message: Admin, seconds: float) -> AdminReply | None:
    """The first answer of all, a refusal too; None when nobody gives one."""
    first: asyncio.Future[AdminReply | None] = asyncio.get_running_loop().create_future()
    asked = dict.fromkeys(addresses)

    async def one(address: str) -> None:
        try:
            reply = await _all_pages(parse_endpoints(address)[0], message, seconds)
            if not first.done():
                first.set_result(reply)
        except ThesanError as error:
            # Of those that are not there, or send elsewhere, another one may know better.
            if error.retry is Retry.NEVER and not first.done():
                first.set_exception(error)
        finally:
            del asked[address]
            if not asked and not first.done():
                first.set_result(None)

    tasks = TaskOwner("whoever")
    for address in list(asked):
        tasks.start(address, one(address))
    try:
        async with asyncio.timeout(seconds):
            return await first
    except TimeoutError:
        return None
    finally:
        await tasks.close()


async def _all_pages(endpoint: Endpoint, message: Admin, seconds: float) -> AdminReply:
    async with at(endpoint, seconds) as connection:
        whole: AdminReply | None = None
        page = ""
        while whole is None or page:
            args = {**message.args, "page": page} if page else message.args
            reply = await ask(connection, Admin(message.noun, message.verb, args), seconds)
            if not isinstance(reply, AdminReply):
                raise OperationError(errno.EPROTO, f"{endpoint} answered {type(reply).__name__}")
            if whole is None:
                whole = reply
            else:
                whole.records += reply.records
            page = reply.next_page
        whole.next_page = ""
        return whole
