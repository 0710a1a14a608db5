"""File commands: ls stat mkdir rm rmdir mv ln chmod chown touch cat."""

import errno
import sys
import time
from collections.abc import AsyncIterator, Sequence

from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Record, show
from thesan.core.control.messages import FileOp
from thesan.core.model.errors import OperationError
from thesan.core.model.paths import normalise
from thesan.core.model.units import human_count
from thesan.core.wire.bodies import StatInfo
from thesan.core.wire.numbers import StatFlag
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.tree import find

MODE_BITS = "rwxrwxrwx"


def path_of(text: str) -> str:
    """An absolute path in the namespace from what was typed: a path, or a root:// URL."""
    if "://" in text:
        from thesan.roles.client.url import parse_url

        text = parse_url(text).path or "/"
    return normalise(text)


async def below(fs: Filesystem, top: str) -> AsyncIterator[str]:
    """Paths of everything below `top` but symbolic links: what they lead to is somebody else's,
    and may be chosen by whoever can write below `top`."""
    async for entry in find(fs, top, every_link=True):
        if entry.link is None:
            yield entry.path


def mode_text(info: StatInfo) -> str:
    """`drwxr-xr-x`"""
    bits = info.mode
    kind = "d" if info.flags & StatFlag.IS_DIR else "l" if info.flags & StatFlag.OTHER else "-"
    text = [char if bits >> (8 - place) & 1 else "-" for place, char in enumerate(MODE_BITS)]
    for bit, place, letters in ((0o4000, 2, "sS"), (0o2000, 5, "sS"), (0o1000, 8, "tT")):
        if bits & bit:
            text[place] = letters[0] if text[place] == "x" else letters[1]
    return kind + "".join(text)


def record_of(name: str, info: StatInfo) -> Record:
    """The record of one entry, for -m and -j."""
    return {
        "name": name,
        "type": "directory" if info.flags & StatFlag.IS_DIR else "file",
        "size": info.size,
        "mode": f"{info.mode:04o}",
        "owner": info.owner,
        "group": info.group,
        "mtime": info.mtime,
        "ctime": info.ctime,
        "inode": info.id,
    }


def ls(context: Context, argv: list[str]) -> int:
    """`ls [-l] [-a] [-d] [-i] [-h] [PATH...]`; names that begin with a dot need -a, as in EOS."""
    options = parser("ls", "List directories.")
    options.add_argument("-l", action="store_true", help="long form")
    options.add_argument("-a", action="store_true", help="names that begin with a dot, too")
    options.add_argument("-d", action="store_true", help="the directory itself")
    options.add_argument("-i", action="store_true", help="inode numbers")
    options.add_argument("--human", action="store_true", help="sizes with units")
    options.add_argument("paths", nargs="*", default=["/"])
    chosen = options.parse_args(argv)

    async def work(fs: Filesystem) -> list[Record]:
        records: list[Record] = []
        for path in map(path_of, chosen.paths):
            info = await fs.stat(path)
            if chosen.d or not info.flags & StatFlag.IS_DIR:
                records.append(record_of(path, info) | {"_info": info})
                continue
            records += [
                record_of(entry.name, entry.stat) | {"_info": entry.stat}
                for entry in await fs.ls(path, stat=True)
                if entry.stat is not None and (chosen.a or not entry.name.startswith("."))
            ]
        return records

    records = context.with_filesystem(work)
    infos = [record.pop("_info") for record in records]
    if context.output is not Output.TABLE:
        print(show(context, records, []))
    elif chosen.l:
        print_long(records, infos, human=chosen.human, inode=chosen.i)
    else:
        for record in records:
            print(f"{record['inode']} {record['name']}" if chosen.i else record["name"])
    return 0


def print_long(
    records: Sequence[Record], infos: Sequence[StatInfo], *, human: bool, inode: bool
) -> None:
    """`mode owner group size date name`, columns aligned."""
    rows = []
    for record, info in zip(records, infos, strict=True):
        size = human_count(info.size) if human else str(info.size)
        when = time.strftime("%b %e %Y %H:%M", time.localtime(info.mtime))
        rows.append([mode_text(info), info.owner, info.group, size, when, record["name"]])
        if inode:
            rows[-1].insert(0, str(info.id))
    if not rows:
        return
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        print(*cells, row[-1])


def stat(context: Context, argv: list[str]) -> int:
    """`stat [-f | -d] PATH...`; -f and -d only test for a file or a directory (exit status)."""
    options = parser("stat", "Show metadata.")
    kinds = options.add_mutually_exclusive_group()
    kinds.add_argument("-f", action="store_true", help="succeed only for a file")
    kinds.add_argument("-d", action="store_true", help="succeed only for a directory")
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)

    async def work(fs: Filesystem) -> list[Record]:
        return [record_of(path, await fs.stat(path)) for path in map(path_of, chosen.paths)]

    records = context.with_filesystem(work)
    wanted = "file" if chosen.f else "directory" if chosen.d else None
    if wanted is not None and any(record["type"] != wanted for record in records):
        raise OperationError(
            errno.EISDIR if chosen.f else errno.ENOTDIR, f"not a {wanted}: {records[0]['name']}"
        )
    if context.output is Output.TABLE:
        for record in records:
            _print_stat(record)
    else:
        print(show(context, records, []))
    return 0


def _print_stat(record: Record) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(record["mtime"]))
    changed = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(record["ctime"]))
    print(f"  File: {record['name']}")
    print(f"  Size: {record['size']:<16} {record['type']:<12} Inode: {record['inode']}")
    print(f"Access: {record['mode']}  Owner: {record['owner']}  Group: {record['group']}")
    print(f"Modify: {when}\nChange: {changed}")


def mkdir(context: Context, argv: list[str]) -> int:
    """`mkdir [-p] [-m MODE] PATH...`"""
    options = parser("mkdir", "Make directories.")
    options.add_argument("-p", action="store_true", help="with parents; existing ones are fine")
    options.add_argument("-m", "--mode", type=lambda text: int(text, 8), default=0o755)
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)

    async def work(fs: Filesystem) -> None:
        for path in map(path_of, chosen.paths):
            await fs.mkdir(path, chosen.mode, parents=chosen.p)

    context.with_filesystem(work)
    return 0


def rm(context: Context, argv: list[str]) -> int:
    """`rm [-r] [-f] PATH...`"""
    options = parser("rm", "Remove files, with -r trees.")
    options.add_argument("-r", "-R", action="store_true", help="directories and what is in them")
    options.add_argument("-f", action="store_true", help="an absent path is fine")
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)
    if any(path_of(path) == "/" for path in chosen.paths):
        raise OperationError(errno.EBUSY, "the root directory is never removed")

    async def work(fs: Filesystem) -> None:
        for path in map(path_of, chosen.paths):
            try:
                if chosen.r:
                    await fs.remove_tree(path)
                else:
                    await fs.rm(path)
            except OperationError as error:
                if not (chosen.f and error.errno == errno.ENOENT):
                    raise

    context.with_filesystem(work)
    return 0


def rmdir(context: Context, argv: list[str]) -> int:
    """`rmdir PATH...`"""
    options = parser("rmdir", "Remove empty directories.")
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)

    async def work(fs: Filesystem) -> None:
        for path in map(path_of, chosen.paths):
            try:
                await fs.rmdir(path)
            except OperationError as error:
                # XRootD has one code for EEXIST and ENOTEMPTY.
                if error.errno != errno.EEXIST:
                    raise
                raise OperationError(errno.ENOTEMPTY, f"not empty: {path}") from error

    context.with_filesystem(work)
    return 0


def mv(context: Context, argv: list[str]) -> int:
    """`mv SOURCE... TARGET`: into TARGET when it is a directory."""
    options = parser("mv", "Rename files and directories.")
    options.add_argument("sources", nargs="+")
    options.add_argument("target")
    chosen = options.parse_args(argv)
    target = path_of(chosen.target)

    async def work(fs: Filesystem) -> None:
        into = await fs.is_dir(target)
        if len(chosen.sources) > 1 and not into:
            raise OperationError(errno.ENOTDIR, f"not a directory: {target}")
        for source in map(path_of, chosen.sources):
            await fs.mv(source, f"{target}/{source.rpartition('/')[2]}" if into else target)

    context.with_filesystem(work)
    return 0


def ln(context: Context, argv: list[str]) -> int:
    """`ln [-s] TARGET LINK`"""
    options = parser("ln", "Make a hard link, or with -s a symbolic one.")
    options.add_argument("-s", action="store_true", help="symbolic: TARGET is any text")
    options.add_argument("target")
    options.add_argument("link")
    chosen = options.parse_args(argv)

    async def work(fs: Filesystem) -> None:
        if chosen.s:
            await fs.symlink(chosen.target, path_of(chosen.link))
        else:
            await fs.link(path_of(chosen.target), path_of(chosen.link))

    context.with_filesystem(work)
    return 0


def chmod(context: Context, argv: list[str]) -> int:
    """`chmod [-r] MODE PATH...`: octal mode; -r leaves out what symbolic links lead to."""
    options = parser("chmod", "Change permission bits.")
    options.add_argument("-r", "-R", action="store_true", help="trees")
    options.add_argument("mode", type=lambda text: int(text, 8), help="octal, such as 644")
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)

    async def work(fs: Filesystem) -> None:
        for path in map(path_of, chosen.paths):
            await fs.chmod(path, chosen.mode)
            if chosen.r:
                async for each in below(fs, path):
                    await fs.chmod(each, chosen.mode)

    context.with_filesystem(work)
    return 0


def chown(context: Context, argv: list[str]) -> int:
    """`chown [-r] UID[:GID] PATH...`: numbers, or names that this machine knows; -r changes
    symbolic links themselves."""
    options = parser("chown", "Change owner and group.")
    options.add_argument("-r", "-R", action="store_true", help="trees")
    options.add_argument("owner", help="UID, UID:GID or :GID")
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)
    uid, gid = _owner(chosen.owner)

    async def work(fs: Filesystem) -> None:
        for path in map(path_of, chosen.paths):
            await fs.chown(path, uid, gid)
            if chosen.r:
                args = {"follow": False} | {
                    key: value for key, value in (("uid", uid), ("gid", gid)) if value is not None
                }
                async for entry in find(fs, path):
                    await fs.file_op(FileOp("chown", entry.path, dict(args)))

    context.with_filesystem(work)
    return 0


def _owner(text: str) -> tuple[int | None, int | None]:
    import grp
    import pwd

    user, _, group = text.partition(":")
    try:
        uid = None if not user else int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
        gid = None if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise OperationError(errno.EINVAL, f"unknown name in {text!r}") from error
    if uid is None and gid is None:
        raise OperationError(errno.EINVAL, f"no owner in {text!r}")
    return uid, gid


def touch(context: Context, argv: list[str]) -> int:
    """`touch [-n] PATH...`: make an empty file, or set its mtime to now."""
    options = parser("touch", "Make empty files, or set their times to now.")
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)

    async def work(fs: Filesystem) -> None:
        for path in map(path_of, chosen.paths):
            await fs.touch(path)

    context.with_filesystem(work)
    return 0


def cat(context: Context, argv: list[str]) -> int:
    """`cat PATH...`: to standard output, checksums verified on the way."""
    options = parser("cat", "Print files.")
    options.add_argument("paths", nargs="+")
    chosen = options.parse_args(argv)
    out = sys.stdout.buffer

    async def work(fs: Filesystem) -> None:
        for path in map(path_of, chosen.paths):
            async with await fs.open(path) as file:
                async for piece in file.pieces():
                    out.write(piece)

    context.with_filesystem(work)
    out.flush()
    return 0
