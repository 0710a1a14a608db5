"""The soft table of uploads under way: which FST holds the unfinished bytes of a path.

Nothing here is journaled and nothing depends on it but comfort: when the connection to an FST
breaks in the middle of an upload, XrdCl reopens the path at the MGM with kXR_open_updt and goes on
with the chunk that failed. The path is not in the namespace then; only this table knows where the
client has to go. After a restart of the MGM such a client starts its upload anew.
"""

from typing import Generic, TypeVar

import msgspec

from thesan.core.model.ids import Fid, Fsid, NodeId
from thesan.core.model.limits import (
    UPLOAD_SECONDS_MAX,
    UPLOADS_KEPT_MAX,
    UPLOADS_SUPERSEDED_MAX,
)

_Ticket = TypeVar("_Ticket")


class Upload(msgspec.Struct, Generic[_Ticket], frozen=True, gc=False):
    """One open upload."""

    path: str
    fid: Fid
    uid: int
    host: str
    """Where the client called from: only the same caller may go on."""
    node: NodeId
    """The head FST."""
    ticket: _Ticket
    """What a capability for the same upload is made from."""
    opened_ns: int
    op_id: bytes = b""
    """The client's id of the operation, the same for all tries of it; empty when it has none."""
    full: frozenset[Fsid] = frozenset()
    """Filesystems on which earlier tries of this upload found no room."""
    superseded: tuple[Fid, ...] = ()
    """Earlier uploads of the same path that had not ended when this one was opened: often earlier
    tries of the same client. Once this one is committed they must not be any more."""


class Uploads(Generic[_Ticket]):
    """At most UPLOADS_KEPT_MAX uploads by path, the oldest forgotten first."""

    def __init__(self) -> None:
        self._by_path: dict[str, Upload[_Ticket]] = {}
        self._ended: dict[bytes, None] = {}
        """Ids of operations of which a try has ended; at most UPLOADS_KEPT_MAX."""

    def __len__(self) -> int:
        return len(self._by_path)

    def add(self, upload: Upload[_Ticket]) -> None:
        """Remember `upload` in the place of an older one of its path, which it supersedes. Not if
        another try of it has ended: a request that was late, whose answer nobody waits for."""
        if upload.op_id in self._ended:
            return
        old = self._by_path.pop(upload.path, None)
        if old is not None:
            superseded = (old.fid, *old.superseded)[:UPLOADS_SUPERSEDED_MAX]
            upload = msgspec.structs.replace(upload, superseded=superseded)
        while len(self._by_path) >= UPLOADS_KEPT_MAX:
            self._forget(next(iter(self._by_path)))
        self._by_path[upload.path] = upload

    def of(self, path: str, uid: int, host: str) -> Upload[_Ticket] | None:
        """The upload of `path`, if it is this caller's."""
        upload = self._by_path.get(path)
        return upload if upload is not None and (upload.uid, upload.host) == (uid, host) else None

    def resume(
        self, path: str, uid: int, host: str, tried: frozenset[str], now_ns: int
    ) -> Upload[_Ticket] | None:
        """The upload of `path` that this caller may go on with.

        `tried` are the host names that the client has been to in vain: an FST among them does not
        have the bytes any more, so its upload is forgotten.
        """
        upload = self.of(path, uid, host)
        if upload is None:
            return None
        age_s = (now_ns - upload.opened_ns) / 1e9
        if age_s > UPLOAD_SECONDS_MAX or upload.node.rpartition(":")[0] in tried:
            self._forget(path)
            return None
        return upload

    def end(self, fid: Fid, path: str, op_id: bytes = b"") -> tuple[Fid, ...]:
        """The upload `fid` of `path` was committed, or given up: forget it, and a later try of it
        (with the same `op_id`).

        Returns the uploads that it supersedes, if it still had the path.
        """
        if op_id:
            self._ended[op_id] = None
            if len(self._ended) > UPLOADS_KEPT_MAX:
                del self._ended[next(iter(self._ended))]
        upload = self._by_path.get(path)
        if upload is None:
            return ()
        if upload.fid == fid or (op_id and upload.op_id == op_id):
            self._forget(path)
            return tuple([other for other in upload.superseded if other != fid])
        if fid in upload.superseded:
            left = tuple([other for other in upload.superseded if other != fid])
            self._by_path[path] = msgspec.structs.replace(upload, superseded=left)
        return ()

    def _forget(self, path: str) -> None:
        del self._by_path[path]
