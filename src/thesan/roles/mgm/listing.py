"""kXR_dirlist: small directories in one answer, large ones in chunks with the loop between them.

The protocol puts a newline between names. Names with one can't be made any more; those that an
older version made are left out, since they would forge entries.
"""

import asyncio
import errno
from typing import Final

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.layouts import CHECKSUM_NAMES, ChecksumKind
from thesan.core.model.limits import (
    DIRLIST_CHUNK_ENTRIES,
    DIRLIST_CHUNK_NAMES,
    LISTING_POLL_SECONDS,
    OUTPUT_BYTES_HIGH,
)
from thesan.core.namespace import admit, queries
from thesan.core.namespace.inode import S_IFLNK, S_IFMT, Inode
from thesan.core.namespace.queries import Page
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_dirlist, build_dirlist_stat, checksum_suffix
from thesan.core.wire.numbers import DirListFlag
from thesan.core.wire.requests import DirList
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm.checksums import checksum_of
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.metadata import caller
from thesan.roles.mgm.stats import flags_of, template

_WITH_STAT: Final = int(DirListFlag.STAT | DirListFlag.STATX | DirListFlag.CHECKSUM)
_WITH_CHECKSUM: Final = int(DirListFlag.CHECKSUM)
_ADLER: Final = CHECKSUM_NAMES[ChecksumKind.ADLER]


def dirlist(master: Master, connection: ServerConnection, request: DirList) -> bytes | None:
    """Answer now when one chunk holds all entries, else start to stream."""
    who = caller(connection)
    directory = admit.listing(master.namespace, who, request.path)
    if not directory.is_dir:
        raise OperationError(errno.ENOTDIR, f"not a directory: {request.path}")
    body, tag, after = _chunk(master, who, request, directory, "")
    if after is None:
        return master.show(connection, tag, request.sid, body)
    stream = _Stream(master, connection, request, directory.fid, who)
    master.tasks.start("dirlist", stream.run(tag, body, after))
    return None


class _Stream:
    """The rest of a long listing. Entries that appear or vanish meanwhile may be in it or not;
    those that are there all the time are in it exactly once."""

    def __init__(
        self,
        master: Master,
        connection: ServerConnection,
        request: DirList,
        fid: int,
        who: Identity,
    ) -> None:
        self._master = master
        self._connection = connection
        self._request = request
        self._fid = fid
        self._who = who

    async def run(self, tag: int, body: bytes, after: str | None) -> None:
        """Send `body`, the first chunk, and everything after the name `after`.

        When this MGM's role ends meanwhile, or the rest can't be had, the client is disconnected
        and asks again. Raises what went wrong.
        """
        try:
            await self._send(tag, body, after)
        except BaseException:
            self._connection.close()
            raise

    async def _send(self, tag: int, body: bytes, after: str | None) -> None:
        master, connection, sid = self._master, self._connection, self._request.sid
        while after is not None:
            await master.pipeline.durable(tag)
            connection.reply(responses.oksofar(sid, body))
            pause = 0.0
            while connection.unsent_bytes > OUTPUT_BYTES_HIGH or not pause:
                # Ends: the listener drops a peer that takes nothing.
                await asyncio.sleep(pause)
                pause = LISTING_POLL_SECONDS
            if connection.is_closed:
                return
            # Across the await only the fid is good: the directory may be gone, or evicted.
            directory = queries.inode_of(master.namespace, self._fid)
            if directory is None:
                error = OperationError(errno.ENOENT, "the directory was removed meanwhile")
                await master.pipeline.durable(master.namespace.op_count)
                connection.reply(responses.error_of(sid, error))
                return
            body, tag, after = _chunk(master, self._who, self._request, directory, after)
        await master.pipeline.durable(tag)
        connection.reply(responses.ok(sid, body))


def _chunk(
    master: Master, who: Identity, request: DirList, directory: Inode, after: str
) -> tuple[bytes, int, str | None]:
    """One part of the listing: (text, the newest op that it shows, where to go on)."""
    namespace = master.namespace
    is_settled = master.tables.committed_tag == master.tables.op_count
    if not request.options & _WITH_STAT:
        if is_settled:
            names, onward = queries.list_names(namespace, directory, after, DIRLIST_CHUNK_NAMES)
            return _names_text(names, last=onward is None), 0, onward
        page = queries.list_page(namespace, directory, after, DIRLIST_CHUNK_NAMES)
        text = _names_text([name for name, _ in page.entries], last=page.after is None)
        return text, _tag_of(master, directory, page), page.after
    page = queries.list_page(namespace, directory, after, DIRLIST_CHUNK_ENTRIES)
    text = _stat_text(master, who, request, page, first=not after)
    return text, 0 if is_settled else _tag_of(master, directory, page), page.after


def _names_text(names: list[str], *, last: bool) -> bytes:
    # Encoded in one piece: a listing costs what is done for each of its entries.
    text = "\n".join(names)
    if text.count("\n") >= len(names) > 0:
        text = "\n".join(name for name in names if "\n" not in name)
    return build_dirlist([text.encode()], last=last)


def _tag_of(master: Master, directory: Inode, page: Page) -> int:
    """The newest op that the page shows."""
    return max(
        directory.seq,
        master.tree.tree_tag,
        max((inode.seq for _, inode in page.entries), default=0),
    )


def _stat_text(
    master: Master, who: Identity, request: DirList, page: Page, *, first: bool
) -> bytes:
    with_checksum = request.options & _WITH_CHECKSUM
    entries = []
    for name, inode in page.entries:
        if "\n" in name:  # an old name: it would read as entries that are not there
            continue
        if inode.mode & S_IFMT == S_IFLNK:
            inode = _target_of(master, who, request.path, name) or inode
        text = (inode.text or template(master, inode)) % flags_of(master, inode, who)
        if with_checksum:
            value = checksum_of(inode, ChecksumKind.ADLER) if inode.is_file else None
            text += checksum_suffix(_ADLER, value or "none")
        entries.append((name.encode(), text))
    return build_dirlist_stat(entries, first=first, last=page.after is None)


def _target_of(master: Master, who: Identity, path: str, name: str) -> Inode | None:
    """What a symbolic link leads to: XRootD has no word for the link itself."""
    try:
        return queries.lookup(master.namespace, f"{path}/{name}", who)
    except OperationError:
        return None
