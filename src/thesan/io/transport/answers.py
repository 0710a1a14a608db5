"""The open requests of a connection: which there are, which a block of answer frames finishes.

Who answers hands over frames, often several joined. Walking their headers costs less than making
every caller say which sid it meant, and can't be forgotten.
"""

from struct import Struct
from typing import Final

from thesan.core.model.errors import OperationError, ThesanError, WireError, xrd_code_of
from thesan.core.model.limits import SESSION_REQUESTS_MAX, WRITE_WINDOW_BYTES
from thesan.core.wire import responses
from thesan.core.wire.numbers import RESPONSE_HEAD_BYTES, Status, StatusType

_PARTIAL: Final = frozenset((Status.OKSOFAR, Status.WAITRESP, Status.ATTN))
_STATUS_TAIL: Final = Struct(">12x3xB4xi")
"""Of a kXR_status frame: the type (`resptype`) and the bytes of data that follow uncounted."""


class Frame:
    """Limits and meaning of one frame inside a block."""

    __slots__ = ("end", "is_final", "sid", "start")

    def __init__(self, sid: bytes, start: int, end: int, is_final: bool) -> None:
        self.sid = sid
        self.start = start
        self.end = end
        self.is_final = is_final
        """False when more follows under this sid."""


def frames_of(data: bytes | bytearray) -> list[Frame]:
    """The frames of a block made by core.wire.responses; the block must hold whole frames."""
    frames: list[Frame] = []
    start = 0
    while start < len(data):
        sid, status, length = responses.HEAD.unpack_from(data, start)
        end = start + RESPONSE_HEAD_BYTES + length
        if status == Status.STATUS:
            kind, data_bytes = _STATUS_TAIL.unpack_from(data, start)
            end += data_bytes
            is_final = kind == StatusType.FINAL
        else:
            is_final = status not in _PARTIAL
        frames.append(Frame(sid, start, end, is_final))
        start = end
    assert start == len(data), "an answer must be made of whole frames"
    return frames


def error_answer(sid: bytes, error: ThesanError) -> bytes:
    """kXR_error for any of our own errors."""
    if isinstance(error, OperationError | WireError):
        return responses.error_of(sid, error)
    return responses.error(sid, xrd_code_of(error.errno), str(error))


class OpenRequests:
    """Requests without a final answer, and the bytes that their bodies hold in memory."""

    __slots__ = ("_late", "held_bytes", "sizes")

    def __init__(self) -> None:
        self.sizes: dict[bytes, int] = {}
        """Bytes of the body by sid. For the hot path, which enters what has no body by itself."""
        self._late: dict[bytes, None] = {}
        self.held_bytes = 0
        """Data of the writes that are not answered yet."""

    def __len__(self) -> int:
        return len(self.sizes)

    def __contains__(self, sid: bytes) -> bool:
        return sid in self.sizes

    @property
    def is_at_limit(self) -> bool:
        """True when no more requests may be taken up."""
        return len(self.sizes) >= SESSION_REQUESTS_MAX or self.held_bytes >= WRITE_WINDOW_BYTES

    def begin(self, sid: bytes, data_bytes: int) -> bool:
        """A request arrived; False, and nothing happens, when its sid is open already."""
        sizes = self.sizes
        if sid in sizes:
            return False
        sizes[sid] = data_bytes
        self.held_bytes += data_bytes
        return True

    def finish(self, sid: bytes) -> None:
        """Its final answer is made. A second one is a fault of the caller: AssertionError."""
        size = self.sizes.pop(sid, None)
        assert size is not None, f"no open request {sid!r}: answered twice?"
        self.held_bytes -= size

    def announce(self, sid: bytes) -> None:
        """A kXR_waitresp was sent: the answer must leave as kXR_attn."""
        assert sid in self.sizes, "waitresp for a request that is not open"
        assert sid not in self._late, "waitresp twice"
        self._late[sid] = None

    def settle(self, data: bytes | bytearray) -> bytes | bytearray:
        """Finish what the frames finish; give them back, those of announced requests wrapped."""
        frames = frames_of(data)
        if not self._late:
            for frame in frames:
                if frame.is_final:
                    self.finish(frame.sid)
            return data
        parts: list[bytes | bytearray] = []
        for frame in frames:
            part = data[frame.start : frame.end]
            if frame.sid in self._late:
                part = responses.as_async(bytes(part))
            if frame.is_final:
                self._late.pop(frame.sid, None)
                self.finish(frame.sid)
            parts.append(part)
        return b"".join(parts)

    def clear(self) -> None:
        """The connection is gone."""
        self.sizes.clear()
        self._late.clear()
        self.held_bytes = 0
