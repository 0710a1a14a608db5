"""What an actor asks of a client library, and which of its errors are answers."""

import errno
from typing import Final, Protocol

DEFINITE: Final = frozenset(
    {
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENOTEMPTY,
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.ENODATA,
        errno.EDOM,
        errno.EBADF,
        errno.EXDEV,
        errno.EDQUOT,
        errno.ESTALE,
    }
)
"""Answers about the namespace or the content: in no storm may one of these be wrong. The others
say that something could not be reached; then the outcome is unknown."""

OVERTAKEN: Final = frozenset({errno.ENOENT, errno.ECANCELED})
"""A put of a name that others change at the same time: who opened later, or removed it, wins."""

SAME_ON_THE_WIRE: Final = frozenset(
    {(errno.ENOTEMPTY, errno.EEXIST), (errno.ENOTDIR, errno.ENODEV)}
)
"""(errno, what its XRootD code reads as): kXR_ItExists is for both of the first pair, ENOTDIR has
no code of its own and travels as kXR_FSError."""


class Calls(Protocol):
    """The client library as an actor uses it. Errors are OperationError."""

    @property
    def mgm_count(self) -> int: ...

    async def advance(self, path: str, value: int) -> int:
        """Set a counter; the journal entry that shows it."""
        ...

    async def look(self, mgm: int, path: str, seq: int) -> tuple[int, int]:
        """(value, journal entry) of a counter, asked at one MGM, not older than entry `seq`."""
        ...

    async def put(self, path: str, data: bytes, *, exclusive: bool) -> None: ...

    async def put_pieces(self, path: str, data: bytes, starts: list[int]) -> None:
        """As `put`, replacing, with pieces written in the order of `starts` (one of them 0)."""
        ...

    async def get(self, path: str) -> bytes: ...

    async def symlink(self, target: str, path: str) -> None: ...

    async def read_link(self, path: str) -> str: ...

    async def update(self, path: str, offset: int, data: bytes) -> None:
        """Write into an existing file, in place."""
        ...

    async def remove(self, path: str) -> None: ...

    async def set_mark(self, path: str, value: str) -> None:
        """Set the extended attribute MARK."""
        ...

    async def get_mark(self, path: str) -> str:
        """ENODATA when there is none."""
        ...

    async def make_directory(self, path: str) -> None: ...

    async def remove_directory(self, path: str) -> None: ...

    async def rename(self, old: str, new: str) -> None: ...

    async def list(self, path: str) -> list[str]: ...
