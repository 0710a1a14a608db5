"""Bytes to frames, for both sides: what to do with a block that ends inside a frame.

A side parses a whole block at once in `_parse`. What is left over goes one of three ways: the start
of a small frame is copied (`_pending`), a long body gets its own buffer that the driver may receive
into directly (`window`, `filled`), the rest of a refused body is thrown away (`_skip`). At most one
of the three is in use, and there is never more than one body buffer. It grows with what has come: a
header alone makes us hold BODY_BYTES_FIRST at most. Incomplete input is no error.
"""

from typing import Generic, TypeVar

from thesan.core.model.errors import WireError
from thesan.core.model.limits import BODY_BYTES_FIRST, HELD_BYTES_MAX

_Frame = TypeVar("_Frame")


class Framing(Generic[_Frame]):
    """Base of ServerSession and ClientSession."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._need = 0
        """Bytes that `_pending` must hold before parsing again makes sense."""
        self._body: bytearray | None = None
        """Room for what has come of a body; as long as the body, if that is not too long."""
        self._body_bytes = 0
        """How much of the body has come."""
        self._body_total = 0
        self._skip = 0
        self._held = False
        """True while parsing waits for a verdict from above; input is kept, within bounds."""
        self._idle = True
        """True when nothing is left over: the fast way."""
        self._failure: WireError | None = None

    @property
    def held_bytes(self) -> int:
        """Memory that input holds now."""
        return len(self._pending) + (0 if self._body is None else len(self._body))

    def receive(self, data: bytes | bytearray | memoryview) -> list[_Frame]:
        """All frames that `data` complete; nothing of `data` is kept but by copy.

        Raises WireError with `fatal`: the stream is lost, nothing more can be received. Answers
        that the session has written itself may be left in its output: send them, then close.
        """
        out: list[_Frame] = []
        view = data if type(data) is memoryview else memoryview(data)
        try:
            if self._idle:
                used = self._parse(view, out)
                if used != len(view):
                    self._keep(view[used:])
            elif self._failure is None:
                self._continue(view, out)
            else:
                raise self._failure
        except WireError as error:
            self._fail(error)
        return out

    def window(self) -> memoryview | None:
        """Where the next bytes of a long body go, or None when `receive` is to be used.

        The driver receives at most so many bytes into it and says how many by `filled`.
        """
        if self._body is None:
            return None
        return memoryview(self._body)[self._body_bytes :]

    def filled(self, count: int) -> list[_Frame]:
        """`count` bytes were received into `window()`. Returns and raises as `receive`."""
        assert self._body is not None, "filled() without a window"
        assert 0 < count <= len(self._body) - self._body_bytes, "filled() beyond the window"
        out: list[_Frame] = []
        try:
            self._advance_body(self._body, count, out)
        except WireError as error:
            self._fail(error)
        return out

    # -- for the sides ---------------------------------------------------------------------------
    def _parse(self, view: memoryview, out: list[_Frame]) -> int:
        """Take all whole frames of `view`; returns how many bytes are done with."""
        raise NotImplementedError

    def _body_complete(self, body: bytearray, out: list[_Frame]) -> None:
        """A body announced by `_await_body` is whole."""
        raise NotImplementedError

    def _await_body(self, body_bytes: int, start: memoryview) -> None:
        """Collect a body of checked length in a buffer of its own; `start` is what has come."""
        assert self._body is None, "one body at a time"
        assert len(start) < body_bytes, "the body is whole already"
        self._body = bytearray(min(body_bytes, max(BODY_BYTES_FIRST, 2 * len(start))))
        self._body[: len(start)] = start
        self._body_bytes = len(start)
        self._body_total = body_bytes
        self._idle = False

    def _await_frame(self, frame_bytes: int) -> None:
        """The frame at the position that `_parse` returns has `frame_bytes`."""
        self._need = frame_bytes

    def _await_skip(self, count: int) -> None:
        """Throw the next `count` bytes away."""
        self._skip = count
        self._idle = count == 0

    def _hold(self) -> None:
        """Stop parsing after the current frame until `_release`."""
        self._held = True
        self._idle = False

    def _release(self) -> list[_Frame]:
        """Parse what came while parsing was held."""
        self._held = False
        out: list[_Frame] = []
        try:
            self._parse_pending(out)
        except WireError as error:
            self._fail(error)
        return out

    def _fail(self, error: WireError) -> None:
        """Drop all input for good and raise."""
        error.fatal = True
        self._failure = error
        self._pending = bytearray()
        self._body = None
        self._idle = False
        raise error

    # -- inside ----------------------------------------------------------------------------------
    def _keep(self, rest: memoryview) -> None:
        self._pending += rest
        self._idle = False
        if self._held and len(self._pending) > HELD_BYTES_MAX:
            raise WireError("too much input before the login was answered", fatal=True)

    def _parse_pending(self, out: list[_Frame]) -> None:
        block = memoryview(self._pending)
        self._pending = bytearray()
        self._idle = True
        self._need = 0
        used = self._parse(block, out)
        if used != len(block):
            self._keep(block[used:])

    def _continue(self, view: memoryview, out: list[_Frame]) -> None:
        if self._skip:
            skipped = min(self._skip, len(view))
            self._await_skip(self._skip - skipped)
            view = view[skipped:]
        elif self._body is not None:
            while self._body is not None and len(view):
                taken = min(len(self._body) - self._body_bytes, len(view))
                self._body[self._body_bytes : self._body_bytes + taken] = view[:taken]
                self._advance_body(self._body, taken, out)
                view = view[taken:]
        if not len(view):
            return
        self._keep(view)
        if not self._held and len(self._pending) >= self._need:
            self._parse_pending(out)

    def _advance_body(self, body: bytearray, count: int, out: list[_Frame]) -> None:
        """`count` more bytes of the body are in its buffer."""
        self._body_bytes += count
        if self._body_bytes == self._body_total:
            self._body = None
            self._idle = True
            self._body_complete(body, out)
        elif self._body_bytes == len(body):
            # A new buffer, since the event loop may hold the old one, which then can't be resized.
            self._body = bytearray(min(self._body_total, 2 * len(body)))
            self._body[: len(body)] = body
