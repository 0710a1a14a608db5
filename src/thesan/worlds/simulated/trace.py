"""What happened in a run, as a digest to compare and as a story to read.

Everything that crosses a border enters: bytes that arrive, disk and log events, faults. Two runs
are the same run when their digests are.
"""

import hashlib
import zlib
from collections import deque

from thesan.worlds.simulated.process import SimProcess

STORY_LINES_MAX = 200_000
"""Lines kept of a story; an hour of a small cluster is about a tenth of it."""


class Failure(Exception):
    """Something that a correct run never has: an exception nobody handled, an ERROR log line."""


class Trace:
    """The digest and, on request, the lines that went into it."""

    def __init__(self, *, story: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._story: deque[str] | None = deque(maxlen=STORY_LINES_MAX) if story else None
        self.event_count = 0
        self.failures: list[str] = []
        """Sentences, oldest first; bounded by the run that stops at the first few."""

    def bytes_moved(self, now: float, source: str, target: str, data: bytes | memoryview) -> None:
        """Bytes that a machine received."""
        self.event_count += 1
        self._hash.update(b"%.9f %s>%s %d " % (now, source.encode(), target.encode(), len(data)))
        self._hash.update(data)
        if self._story is not None:
            line = f"{now:12.6f} {source} -> {target}: {len(data)} bytes"
            self._story.append(f"{line} crc {zlib.crc32(data):08x}")

    def event(self, now: float, who: str, text: str) -> None:
        """One line of the story."""
        self.event_count += 1
        self._hash.update(f"{now:.9f} {who} {text}".encode(errors="surrogateescape"))
        if self._story is not None:
            self._story.append(f"{now:12.6f} {who}: {text}")

    def failure(self, now: float, process: SimProcess | None, text: str) -> None:
        """A sentence that makes the run red."""
        who = "observer" if process is None else repr(process)
        self.failures.append(f"at {now:.6f} in {who}: {text}")
        self.event(now, who, f"FAILURE {text}")

    def digest(self) -> str:
        """Hexadecimal digest of everything so far."""
        return self._hash.copy().hexdigest()

    def story(self) -> list[str]:
        """The newest lines, oldest first; empty unless the trace was made to keep them."""
        return list(self._story or ())
