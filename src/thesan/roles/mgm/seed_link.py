"""The way to an MGM that seeds this one: a connection of its own, so that pages hold up no beat."""

import errno
from typing import TypeVar

from thesan.core.authority.keytab import Keytab
from thesan.core.control.messages import (
    CheckpointPage,
    CheckpointReply,
    JournalPage,
    JournalReply,
    Message,
    Request,
    decode_reply,
    encode_request,
)
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import ControlError, OperationError, WireError
from thesan.core.model.limits import CONTROL_CALL_SECONDS_MAX
from thesan.core.wire.bodies import parse_wait
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.core.wire.requests import Query
from thesan.io.transport.client import ClientConnection, LoginSettings, dial, error_of
from thesan.io.transport.credentials import keytab
from thesan.ports.world import World

_R = TypeVar("_R", bound=Message)


class SeedLink:
    """One connection to a peer. Every method raises OperationError."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def page(self, message: CheckpointPage) -> CheckpointReply:
        """A page of a checkpoint. ENOENT: the checkpoint is not there any more."""
        return await self._ask(message, CheckpointReply)

    async def entries(self, message: JournalPage) -> JournalReply:
        """Entries out of the peer's segments."""
        return await self._ask(message, JournalReply)

    async def close(self) -> None:
        """Drop it."""
        await self._connection.close()

    async def _ask(self, message: Request, kind: type[_R]) -> _R:
        query = Query(NO_SID, QueryCode.OPAQUE, args=encode_request(message))
        try:
            response = await self._connection.call(query, CONTROL_CALL_SECONDS_MAX)
            if response.status == Status.WAIT:
                _, text = parse_wait(bytes(response.body))
                raise OperationError(errno.EAGAIN, text or "the peer says wait")
            if response.status != Status.OK:
                raise error_of(response)
            reply = decode_reply(bytes(response.body))
        except (WireError, ControlError) as error:
            raise OperationError(errno.EPROTO, str(error)) from error
        if not isinstance(reply, kind):
            text = f"answer is {type(reply).__name__}, not {kind.__name__}"
            raise OperationError(errno.EPROTO, text)
        return reply


async def dial_peer(world: World, keys: Keytab, own: str, address: str) -> SeedLink:
    """Connect to the MGM at `address` as the MGM `own`, proving the keytab. OperationError."""
    host, port = split_address(address)
    proof = keytab(keys, "mgm", own, entropy=world.entropy, clock=world.clock)
    login = LoginSettings("mgm", split_address(own)[1], "thesan-mgm", (proof,))
    return SeedLink(await dial(host, port, login))
