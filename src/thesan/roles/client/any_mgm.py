"""Reads that a standby may answer, and how old its answer may be.

A standby follows the journal. A client that asks it says the journal position of the latest that it
was told, so that its own changes, and what it has seen, never disappear again before its eyes.
"""

import errno
from typing import Any, TypeVar

import msgspec

from thesan.core.authority.commands import FILE_NOUN, find
from thesan.core.control.messages import (
    ANY_KEY,
    SEQ_KEY,
    Admin,
    AdminReply,
    FileOp,
    FileOpReply,
    Leader,
    Reply,
    Watch,
    decode_reply,
    encode_request,
)
from thesan.core.model.errors import ControlError, OperationError
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, QueryCode
from thesan.roles.client.router import Router
from thesan.roles.client.url import merge_cgi

AnyRequest = rq.Stat | rq.DirList | rq.Locate | rq.Open
_A = TypeVar("_A", bound=AnyRequest)


class AnyMgm:
    """One client's view of time."""

    def __init__(self, router: Router) -> None:
        self.seq = 0
        """Highest journal position that an answer named."""
        self._router = router
        self._changes = 0
        """Begun and answered, by requests whose answers name no position."""
        self._changes_known = 0
        """Of those, what `seq` is not older than."""

    @property
    def has_changed(self) -> bool:
        """Something was changed that `seq` does not know of."""
        return self._changes != self._changes_known

    def changed(self) -> None:
        """A change begins, or was answered: what the master said before may not know of it."""
        self._changes += 1

    def noted(self, reply: Reply) -> Reply:
        """Remember the journal position of an answer; the answer."""
        match reply:
            case AdminReply() | FileOpReply():
                self.seq = max(self.seq, reply.seq)
            case _:
                pass
        return reply

    def message_for(self, message: Admin | FileOp) -> tuple[dict[str, Any], bool]:
        """(arguments that say how new the answer must be, whether any MGM may answer)."""
        try:
            reads = not find(_noun_of(message), message.verb).mutates
        except OperationError:
            return {}, False  # the master says what is wrong with it
        is_any = reads and self._router.config.any_mgm and not self.has_changed
        if not reads or (isinstance(message, FileOp) and not is_any):
            return {}, False
        args: dict[str, Any] = {"seq": self.seq} if self.seq else {}
        return ({**args, "any": True}, True) if is_any else (args, False)

    async def ask_for(self, request: _A) -> _A:
        """The request as it is to be sent: with what a standby must know, if one may answer."""
        if not self._router.config.any_mgm:
            return request
        if self.has_changed:
            await self._catch_up()
            if self.has_changed:
                return request  # only the master can know
        cgi = f"{ANY_KEY}=1&{SEQ_KEY}={self.seq}" if self.seq else f"{ANY_KEY}=1"
        return msgspec.structs.replace(request, cgi=merge_cgi(request.cgi, cgi))

    async def _catch_up(self) -> None:
        """Ask the master how far the journal is: what was answered before is in it. A change that
        is under way was not; its answer counts as one more."""
        changes = self._changes
        query = rq.Query(NO_SID, QueryCode.OPAQUE, args=encode_request(Watch()))
        try:
            answer = await self._router.ask(query)
            reply = decode_reply(bytes(answer.body))
        except ControlError as error:
            raise OperationError(errno.EPROTO, str(error)) from error
        if isinstance(reply, Leader) and reply.role == "master":
            self._changes_known = changes
            self.seq = max(self.seq, reply.applied)


def _noun_of(message: Admin | FileOp) -> str:
    return message.noun if isinstance(message, Admin) else FILE_NOUN
