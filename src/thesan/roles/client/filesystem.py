"""The namespace as a program sees it: one async method for each operation.

Paths are absolute. Errors are OperationError with a POSIX errno. Every method goes on trying until
`ClientConfig.patience_seconds`: a restart or a change of master is a pause. Any number of calls may
run at once (`asyncio.gather`); they share one connection to each server.
"""

import errno
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec

from thesan.core.control.messages import (
    ACT_AS,
    OP_KEY,
    Admin,
    AdminReply,
    FileOp,
    FileOpReply,
    Message,
    Reply,
    Request,
    decode_reply,
    encode_request,
)
from thesan.core.model.errors import ControlError, OperationError, WireError, errno_of
from thesan.core.model.limits import FATTR_NAMES_MAX
from thesan.core.model.paths import join_cgi, normalise
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import (
    DirEntry,
    Location,
    StatInfo,
    VfsInfo,
    parse_checksum,
    parse_config,
    parse_dirlist,
    parse_locate,
    parse_stat,
    parse_vfs,
)
from thesan.core.wire.fattr import parse_fattr, parse_fattr_list
from thesan.core.wire.numbers import (
    NO_SID,
    DirListFlag,
    FAttrCode,
    FAttrOption,
    MkdirFlag,
    OpenFlag,
    QueryCode,
    StatFlag,
    StatOption,
)
from thesan.ports.entropy import Entropy
from thesan.roles.client.any_mgm import AnyMgm, AnyRequest
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.file import MODES, File
from thesan.roles.client.pool import Pool
from thesan.roles.client.router import Answer, Body, Router
from thesan.roles.client.tree import Found, find, remove_tree
from thesan.roles.client.url import Url, set_cgi

_R = TypeVar("_R", bound=Message)
_T = TypeVar("_T")

_OP_ID_BYTES: Final = 16


class Filesystem:
    """One instance. Made by `connect`; `async with` or `close` ends it."""

    def __init__(
        self,
        router: Router,
        entropy: Entropy,
        *,
        act_as: tuple[int, int] | None = None,
    ) -> None:
        self.router = router
        self._entropy = entropy
        self._act_as = act_as
        self._any = AnyMgm(router)

    async def close(self) -> None:
        """Close every connection. Open files fail from now on."""
        await self.router.close()

    async def __aenter__(self) -> "Filesystem":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # -- names ---------------------------------------------------------------------------------
    async def stat(self, path: str) -> StatInfo:
        """What a path leads to; symbolic links are followed."""
        answer = await self._look_up(rq.Stat(NO_SID, normalise(path)))
        return _parsed(parse_stat, answer.body)

    async def exists(self, path: str) -> bool:
        """True when `stat` finds it."""
        try:
            await self.stat(path)
        except OperationError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
        return True

    async def is_dir(self, path: str) -> bool:
        """True for a directory, or a link to one; False for what is not there, too."""
        try:
            return bool((await self.stat(path)).flags & StatFlag.IS_DIR)
        except OperationError as error:
            if error.errno != errno.ENOENT:
                raise
            return False

    async def ls(self, path: str, *, stat: bool = False, checksum: bool = False) -> list[DirEntry]:
        """Entries of a directory, sorted by the server. Links show what they lead to."""
        options = (DirListFlag.STAT if stat else 0) | (DirListFlag.CHECKSUM if checksum else 0)
        answer = await self._look_up(rq.DirList(NO_SID, normalise(path), options=int(options)))
        return _parsed(parse_dirlist, answer.body)

    async def mkdir(self, path: str, mode: int = 0o755, *, parents: bool = False) -> None:
        """Make a directory; with `parents` also those above it, and one that is there is fine."""
        options = int(MkdirFlag.PARENTS) if parents else 0
        request = rq.Mkdir(NO_SID, normalise(path), self._op_cgi(), mode, options)
        await self._change(request)

    async def rm(self, path: str) -> None:
        """Remove a file or a link."""
        await self._change(rq.Rm(NO_SID, normalise(path), self._op_cgi()))

    async def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        await self._change(rq.Rmdir(NO_SID, normalise(path), self._op_cgi()))

    async def mv(self, source: str, target: str) -> None:
        """Rename; an existing file at `target` is replaced."""
        request = rq.Mv(NO_SID, normalise(source), normalise(target), self._op_cgi())
        await self._change(request)

    async def chmod(self, path: str, mode: int) -> None:
        """Set permission bits."""
        await self._change(rq.Chmod(NO_SID, normalise(path), self._op_cgi(), mode))

    async def truncate(self, path: str, size: int) -> None:
        """Set the size of a file."""
        await self._change(rq.Truncate(NO_SID, normalise(path), self._op_cgi(), size=size))

    async def chown(self, path: str, uid: int | None = None, gid: int | None = None) -> None:
        """Set owner, group or both."""
        args = {name: value for name, value in (("uid", uid), ("gid", gid)) if value is not None}
        await self.file_op(FileOp("chown", path, args))

    async def utime(self, path: str, mtime_ns: int | None = None) -> None:
        """Set the modification time, None for now."""
        await self.file_op(
            FileOp("utime", path, {} if mtime_ns is None else {"mtime_ns": mtime_ns})
        )

    async def touch(self, path: str, mode: int = 0o644) -> None:
        """Make an empty file, or set the time of one that is there to now."""
        await self.file_op(FileOp("touch", path, {"mode": mode}))

    async def symlink(self, target: str, path: str) -> None:
        """Make `path` a symbolic link that holds the text `target`."""
        await self.file_op(FileOp("symlink", path, {"target": target}))

    async def link(self, source: str, path: str) -> None:
        """Give the file `source` one more name, `path`."""
        await self.file_op(FileOp("link", path, {"source": source}))

    async def readlink(self, path: str) -> str:
        """Text of a symbolic link; EINVAL when `path` is none."""
        return str((await self.file_op(FileOp("readlink", path)))["target"])

    async def lstat(self, path: str) -> dict[str, Any]:
        """`fid mode nlink uid gid owner group size mtime_ns ctime_ns birth_ns`, for a link also
        `target`; `mode` with the type bits."""
        return await self.file_op(FileOp("lstat", path))

    async def info(self, path: str) -> dict[str, Any]:
        """`lstat` of what the path leads to, and `layout fsids checksums` of a file."""
        return await self.file_op(FileOp("info", path))

    # -- trees -----------------------------------------------------------------------------------
    def find(self, path: str, *, depth_max: int | None = None) -> AsyncIterator[Found]:
        """Everything below `path`, parents before children, names sorted; links not followed."""
        return find(self, normalise(path), depth_max)

    async def remove_tree(self, path: str) -> int:
        """Remove `path` and all below it, links themselves and not what they lead to.

        Returns how many entries that were. What others add meanwhile makes it ENOTEMPTY.
        """
        return await remove_tree(self, normalise(path))

    # -- extended attributes ---------------------------------------------------------------------
    async def list_xattr(self, path: str) -> dict[str, bytes]:
        """All attributes that the caller may see."""
        request = rq.FAttr(
            NO_SID, FAttrCode.LIST, normalise(path), options=int(FAttrOption.WITH_DATA)
        )
        answer = await self.router.ask(request)
        return dict(_parsed(lambda body: parse_fattr_list(body, values=True), answer.body))

    async def get_xattr(self, path: str, name: str) -> bytes:
        """One value; ENODATA when there is none."""
        request = rq.FAttr(NO_SID, FAttrCode.GET, normalise(path), names=[name])
        answer = await self.router.ask(request)
        (found,) = _parsed(lambda body: parse_fattr(body, values=True), answer.body)
        _check_code(found.code, path, name)
        return found.value

    async def set_xattr(self, path: str, name: str, value: bytes, *, create: bool = False) -> None:
        """Set one value; with `create`, EEXIST when it is there."""
        await self.set_xattrs(path, {name: value}, create=create)

    async def set_xattrs(
        self, path: str, values: dict[str, bytes], *, create: bool = False
    ) -> None:
        """Set several values; the first that is refused is raised."""
        items = list(values.items())
        options = int(FAttrOption.IS_NEW) if create else 0
        for start in range(0, len(items), FATTR_NAMES_MAX):
            part = items[start : start + FATTR_NAMES_MAX]
            await self._change_xattrs(
                rq.FAttr(
                    NO_SID,
                    FAttrCode.SET,
                    normalise(path),
                    self._op_cgi(),
                    options=options,
                    names=[name for name, _ in part],
                    values=[value for _, value in part],
                )
            )

    async def remove_xattr(self, path: str, name: str) -> None:
        """Remove one; ENODATA when there is none."""
        await self._change_xattrs(
            rq.FAttr(NO_SID, FAttrCode.DELETE, normalise(path), self._op_cgi(), names=[name])
        )

    async def _change_xattrs(self, request: rq.FAttr) -> None:
        answer = await self._change(request)
        for result in _parsed(parse_fattr, answer.body):
            _check_code(result.code, request.path, result.name)

    # -- questions -------------------------------------------------------------------------------
    async def query_checksum(self, path: str, kind: str = "") -> tuple[str, str]:
        """(kind, hexadecimal value); `kind` is `adler32`, `crc32c` or empty for the file's own."""
        cgi = f"cks.type={kind}" if kind else ""
        args = join_cgi(normalise(path), cgi).encode()
        answer = await self.router.ask(rq.Query(NO_SID, QueryCode.CHECKSUM, args=args))
        return _parsed(parse_checksum, answer.body)

    async def query_config(self, *keys: str) -> dict[str, str]:
        """Values of configuration keys; an unknown one is its own value."""
        args = " ".join(keys).encode()
        answer = await self.router.ask(rq.Query(NO_SID, QueryCode.CONFIG, args=args))
        return dict(zip(keys, _parsed(parse_config, answer.body), strict=False))

    async def statvfs(self, path: str = "/") -> VfsInfo:
        """Free space as XRootD reports it."""
        request = rq.Stat(NO_SID, normalise(path), options=int(StatOption.VFS))
        return _parsed(parse_vfs, (await self.router.ask(request)).body)

    async def locate(self, path: str) -> list[Location]:
        """Servers that hold a file."""
        answer = await self._look_up(rq.Locate(NO_SID, normalise(path)))
        return _parsed(parse_locate, answer.body)

    # -- files -----------------------------------------------------------------------------------
    async def open(
        self,
        path: str,
        mode: str = "r",
        *,
        permissions: int = 0o644,
        parents: bool = False,
        size: int = 0,
        cgi: str = "",
        op_id: str = "",
    ) -> File:
        """Open a file: `r`, `w` (create or replace), `x` (create), `r+` (change what is there).

        What is written with `w` or `x` is visible from `close` on, whole. `size`: what is going
        to be written, as far as known; placement and quota look at it. `op_id`: whoever may
        have to write it all again gives every try the same `new_op_id()`.
        """
        flags = MODES.get(mode.replace("b", ""))
        if flags is None:
            raise OperationError(errno.EINVAL, f"open mode {mode!r}; there are {', '.join(MODES)}")
        readonly = bool(flags & OpenFlag.READ)
        if parents and not readonly:
            flags |= OpenFlag.MKPATH
        if size and not readonly:
            cgi = set_cgi(cgi, "oss.asize", str(size))
        if readonly:
            looked_up = await self._any.ask_for(rq.Open(NO_SID, normalise(path), cgi, 0, flags))
            return await File(self.router, looked_up, is_readonly=True).open()
        cgi = "&".join(part for part in (cgi, self._op_cgi(op_id)) if part)
        request = rq.Open(NO_SID, normalise(path), cgi, permissions, flags)
        file = await File(self.router, request, is_readonly=False).open()
        file.after_close = self._changed
        return file

    async def _change(self, request: rq.Request) -> Answer:
        """Ask for what changes something; `_op_cgi` is part of it."""
        try:
            return await self.router.ask(request)
        finally:
            self._any.changed()

    async def _changed(self) -> None:
        self._any.changed()

    async def _look_up(self, request: AnyRequest) -> Answer:
        """Ask what only reads."""
        request = await self._any.ask_for(request)
        return await self.router.ask(request, any_mgm=self.router.config.any_mgm)

    # -- control messages --------------------------------------------------------------------------
    async def control(self, message: Request) -> Reply:
        """Send a control message to the master; resent under the same `op_id` until answered."""
        is_any = False
        if isinstance(message, Admin | FileOp):
            more, is_any = self._any.message_for(message)
            args = {**more, **message.args} if more else message.args
            if self._act_as is not None:
                args = {**args, ACT_AS: list(self._act_as)}
            op_id = message.op_id or self.new_op_id()
            message = msgspec.structs.replace(message, op_id=op_id, args=args)
        query = rq.Query(NO_SID, QueryCode.OPAQUE, args=encode_request(message))
        answer = await self.router.ask(query, any_mgm=is_any)
        try:
            return self._any.noted(decode_reply(bytes(answer.body)))
        except ControlError as error:
            raise OperationError(errno.EPROTO, f"{answer.endpoint}: {error}") from error

    async def file_op(self, message: FileOp) -> dict[str, Any]:
        """A namespace operation that XRootD has no request for; its result fields."""
        message = msgspec.structs.replace(message, path=normalise(message.path))
        return _expect(await self.control(message), FileOpReply).result

    async def admin(self, noun: str, verb: str, **args: Any) -> AdminReply:
        """One admin command, all pages of its records."""
        reply = _expect(await self.control(Admin(noun, verb, args)), AdminReply)
        page = reply.next_page
        while page:
            more = _expect(
                await self.control(Admin(noun, verb, {**args, "page": page})), AdminReply
            )
            reply.records += more.records
            page = more.next_page
        reply.next_page = ""
        return reply

    def new_op_id(self) -> str:
        """A fresh id of an operation."""
        return self._entropy.token(_OP_ID_BYTES).hex()

    def _op_cgi(self, op_id: str = "") -> str:
        """For whatever changes something."""
        self._any.changed()
        return f"{OP_KEY}={op_id or self.new_op_id()}"


def _parsed(parse: Callable[[bytes], _T], body: Body) -> _T:
    try:
        return parse(bytes(body))
    except WireError as error:
        raise OperationError(errno.EPROTO, f"unreadable answer: {error.text}") from error


def _check_code(code: int, path: str, name: str) -> None:
    if code:
        raise OperationError(errno_of(code), f"{path}: attribute {name}: {code}")


def _expect(reply: Reply, kind: type[_R]) -> _R:
    if not isinstance(reply, kind):
        raise OperationError(errno.EPROTO, f"answer is {type(reply).__name__}")
    return reply


def connect(
    url: Url,
    config: ClientConfig,
    entropy: Entropy,
    *,
    act_as: tuple[int, int] | None = None,
) -> Filesystem:
    """A Filesystem at the MGMs of `url`. Connections are made when they are needed."""
    router = Router(url.endpoints, Pool(config), config)
    return Filesystem(router, entropy, act_as=act_as)
