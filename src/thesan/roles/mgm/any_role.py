"""Control messages that every MGM answers in every role, from what the process knows.

They are never redirected and never wait: who asks wants to know what this MGM is and sees.
"""

import errno
from typing import Final, assert_never

from thesan.core.authority.commands import DAEMON_NOUN, authorise
from thesan.core.control.messages import (
    CheckpointPage,
    JournalPage,
    MgmBeat,
    Watch,
    encode_reply,
)
from thesan.core.model.errors import OperationError
from thesan.core.wire import responses
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm.metadata import caller
from thesan.roles.mgm.process import Process

KINDS: Final = (Watch, MgmBeat, CheckpointPage, JournalPage)

AnyRole = Watch | MgmBeat | CheckpointPage | JournalPage


def answer(
    process: Process, connection: ServerConnection, sid: bytes, message: AnyRole
) -> bytes | None:
    """Answer one of KINDS. Raises OperationError."""
    who = caller(connection)
    process.figures.count(type(message))
    match message:
        case Watch():
            return process.watchers.watch(connection, sid, message)
        case MgmBeat():
            authorise(DAEMON_NOUN, "mgm-beat", who)
            return responses.ok(sid, encode_reply(process.peers.heard(message)))
        case CheckpointPage() | JournalPage():
            authorise(DAEMON_NOUN, str(message.__struct_config__.tag), who)
            if process.data is None:
                raise OperationError(errno.ENOTSUP, "this MGM keeps no segments, no checkpoints")
            return process.data.answer(connection, sid, message)
        case _:
            assert_never(message)
