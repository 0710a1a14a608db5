"""Answers that take a while: sent when they are ready, announced when that takes long."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from thesan.core.model.errors import OperationError, ThesanError, WireError, Xrd, xrd_code_of
from thesan.core.model.limits import WAITRESP_SECONDS, WAITRESP_SECONDS_MAX
from thesan.core.wire import responses
from thesan.io.tasks import TaskOwner
from thesan.io.transport.server import ServerConnection

Answer = bytes | bytearray


def error_frame(sid: bytes, error: ThesanError) -> bytes:
    """kXR_error for any error of ours."""
    if isinstance(error, OperationError | WireError):
        return responses.error_of(sid, error)
    return responses.error(sid, xrd_code_of(error.errno), str(error))


class LateAnswers:
    """Runs the work behind an answer and sends what comes of it."""

    def __init__(self, tasks: TaskOwner) -> None:
        self._tasks = tasks

    def later(
        self,
        connection: ServerConnection,
        sid: bytes,
        work: Coroutine[Any, Any, Answer],
        *,
        path_id: int = 0,
    ) -> None:
        """Answer `sid` with what `work` returns, or with kXR_error for what it raises.

        After WAITRESP_SECONDS the client is told to be patient, else its stream would time out.
        """
        self._tasks.start("answer", self._answer(connection, sid, work, path_id))

    async def _answer(
        self,
        connection: ServerConnection,
        sid: bytes,
        work: Coroutine[Any, Any, Answer],
        path_id: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        timer = None
        if not path_id:
            timer = loop.call_later(
                WAITRESP_SECONDS, connection.wait_then_answer, sid, WAITRESP_SECONDS_MAX
            )
        try:
            answer = await work
        except ThesanError as error:
            answer = error_frame(sid, error)
        except Exception as error:
            loop.call_exception_handler({"message": "answer failed", "exception": error})
            answer = responses.error(sid, Xrd.SERVER_ERROR, "internal error; it is in the log")
        finally:
            if timer is not None:
                timer.cancel()
        try:
            connection.reply(answer, path_id)
        except OperationError as error:
            # The substream is gone; the main one still can say so.
            connection.reply(responses.error_of(sid, error))
