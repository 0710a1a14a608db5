"""`thesan file info` and `thesan file check`: what is known of a file, and of each replica."""

import asyncio
import errno
from typing import Any, Final

from thesan.cli.context import Context, Output
from thesan.cli.files import path_of
from thesan.cli.main import parser
from thesan.cli.render import Column, Record, monitor_line, show, table
from thesan.core.model.errors import OperationError, WireError
from thesan.core.model.paths import join_cgi
from thesan.core.model.units import human_count
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import parse_checksum, parse_stat
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.io.transport.client import ClientConnection, error_of
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.url import parse_url

REPLICAS: Final = (
    Column("no.", "no"),
    Column("fs-id", "fsid"),
    Column("host", "host", "left"),
    Column("schedgroup", "schedgroup", "left"),
    Column("path", "path", "left"),
    Column("boot", "boot", "left"),
    Column("configstatus", "configstatus", "left"),
    Column("drain", "drain", "left"),
    Column("active", "active", "left"),
    Column("geotag", "geotag", "left"),
)
CHECKED: Final = (
    Column("no.", "no"),
    Column("fs-id", "fsid"),
    Column("host", "host", "left"),
    Column("active", "active", "left"),
    Column("size", "disk.size"),
    Column("adler32", "disk.adler32", "left"),
    Column("crc32c", "disk.crc32c", "left"),
    Column("verdict", "verdict", "left"),
)
_KINDS: Final = ("adler32", "crc32c")
GOOD: Final = "ok"
REPLICA_SECONDS_MAX: Final = 30.0
"""Deadline for one FST to tell of its replica; it may have to read the file for the checksum."""


def file(context: Context, argv: list[str]) -> int:
    """`file info PATH`, `file check PATH`."""
    top = parser("file", "What is known of a file. PATH may be fid:DECIMAL or fxid:HEX.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in (
        ("info", "metadata, checksums and where the replicas are"),
        ("check", "ask the FST of each replica for its size and checksums, and compare"),
    ):
        of_verb = verbs.add_parser(verb, help=text, description=text)
        of_verb.add_argument("path")
        if verb == "info":
            of_verb.add_argument("--fullpath", action="store_true", help="where on the disks")
    options = top.parse_args(argv)
    if options.verb == "check":
        return _check(context, _name(options.path))
    return _info(context, _name(options.path), fullpath=options.fullpath)


def info(context: Context, argv: list[str]) -> int:
    """`fileinfo PATH`: alias of `file info`."""
    return file(context, ["info", *argv])


def _name(text: str) -> str:
    """A path, or an identifier as it is."""
    return text if text.startswith(("fid:", "fxid:", "inode:")) else path_of(text)


# -- info --------------------------------------------------------------------------------------
def _info(context: Context, path: str, *, fullpath: bool) -> int:
    reply = context.with_filesystem(lambda fs: fs.admin("file", "info", path=path))
    for record in reply.records:
        match context.output:
            case Output.TABLE:
                print(_page(record, fullpath=fullpath, header=context.header))
            case Output.MONITOR:
                print(_info_line(record))
            case Output.JSON:
                print(show(context, [record], ()))
    return 0


def _info_line(record: Record) -> str:
    """One line as EOS' `file info -m`: `xattrn= xattrv=` and `fsid=` are repeated."""
    words = []
    for key, value in record.items():
        match key:
            case "xattrs":
                for name, text in value.items():
                    words.append(monitor_line({"xattrn": name, "xattrv": text}))
            case "fsid":
                words += [f"fsid={fsid}" for fsid in value]
            case "replicas":
                continue
            case _:
                words.append(monitor_line({key: value}))
    return " ".join(words)


def _page(record: Record, *, fullpath: bool, header: bool) -> str:
    if "entries" in record:
        return _directory_page(record)
    lines = [
        f"  File: '{record['file']}'  Flags: {record['mode']}",
        f"  Size: {record['size']}  ({human_count(record['size'])})",
        f"Status: {record['status']}",
        *_times(record),
        f"  CUid: {record['uid']} CGid: {record['gid']}  Fxid: {record['fxid']} "
        f"Fid: {record['fid']}    Pid: {record['pid']}   Pxid: {record['pxid']}",
        f"XStype: {record['xstype']}    XS: {record['xs'] or '-'}    ETAGs: {record['etag']}",
        f"adler32: {record['adler32'] or '-'}    crc32c: {record['crc32c'] or '-'}",
        f"Layout: {record['layout']} Stripes: {record['nstripes']} LayoutId: {record['lid']}",
        f" #Rep: {record['nrep']}",
    ]
    if "target" in record:
        lines.append(f"  Link: {record['target']}")
    lines += _xattr_lines(record)
    if record["replicas"]:
        columns = (*REPLICAS, Column("file", "file", "left")) if fullpath else REPLICAS
        lines.append(table(record["replicas"], columns, header=header))
    return "\n".join(lines)


def _directory_page(record: Record) -> str:
    return "\n".join(
        [
            f"  Directory: '{record['file']}'  Flags: {record['mode']}",
            f"  Entries: {record['entries']}",
            *_times(record),
            f"  CUid: {record['uid']} CGid: {record['gid']}  Fxid: {record['fxid']} "
            f"Fid: {record['fid']}    Pid: {record['pid']}   Pxid: {record['pxid']}",
            f"  ETAG: {record['etag']}",
            *_xattr_lines(record),
        ]
    )


def _times(record: Record) -> list[str]:
    import time

    lines = []
    for title, key in (("Modify", "mtime"), ("Change", "ctime"), ("Birth", "btime")):
        seconds = int(str(record[key]).partition(".")[0])
        when = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(seconds))
        lines.append(f"{title}: {when} Timestamp: {record[key]}")
    return lines


def _xattr_lines(record: Record) -> list[str]:
    return [f'xattr: {name}="{value}"' for name, value in record["xattrs"].items()]


# -- check -------------------------------------------------------------------------------------
def _check(context: Context, path: str) -> int:
    """Status 0 when every replica is there and equal, else EIO."""

    async def work(fs: Filesystem) -> tuple[str, list[Record]]:
        reply = await fs.admin("file", "check", path=path)
        asked = await asyncio.gather(*(_ask_replica(fs, one) for one in reply.records))
        return reply.text, list(asked)

    text, records = context.with_filesystem(work)
    first = records[0]
    # A file without bytes, or one that lost every replica, has a record without a replica.
    replicas = [record for record in records if record["fsid"]]
    missing = max(0, first["nstripes"] - len(replicas)) if first["size"] else 0
    bad = [record for record in replicas if record["verdict"] != GOOD]
    if context.output is Output.TABLE:
        print(
            f"path='{first['path']}' fxid={first['fxid']} size={first['size']} "
            f"nrep={first['nrep']} adler32={first['adler32']} crc32c={first['crc32c']}"
        )
        if replicas:
            print(table(replicas, CHECKED, header=context.header))
    else:
        print(show(context, records, ()))
    if bad or missing:
        verdicts = [f"fs {one['fsid']}: {one['verdict']}" for one in bad]
        raise OperationError(errno.EIO, "; ".join([text, *verdicts]))
    return 0


async def _ask_replica(fs: Filesystem, expected: Record) -> Record:
    """The record with what the FST says, `disk.*`, and a verdict; without the capability."""
    record = {key: value for key, value in expected.items() if key != "url"}
    if not expected["fsid"]:
        return {**record, "verdict": GOOD if not expected["size"] else "no replica"}
    if not expected["url"]:
        return {**record, "verdict": f"not reachable ({expected.get('active', 'unknown')})"}
    try:
        found = await _question(fs, expected["url"])
    except OperationError as error:
        return {**record, "verdict": error.text}
    record.update({f"disk.{key}": value for key, value in found.items()})
    return {**record, "verdict": _compare(expected, found)}


async def _question(fs: Filesystem, text: str) -> dict[str, Any]:
    """Size and checksums as one FST has them. Its own answers only: no other server is asked."""
    url = parse_url(text)
    endpoint = url.endpoints[0]
    try:
        async with asyncio.timeout(REPLICA_SECONDS_MAX):
            connection = await fs.router.pool.get(endpoint)
            answer = await _call(connection, rq.Stat(NO_SID, url.path, url.cgi))
            found: dict[str, Any] = {"size": parse_stat(answer).size}
            for kind in _KINDS:
                args = join_cgi(url.path, f"{url.cgi}&cks.type={kind}").encode()
                answer = await _call(connection, rq.Query(NO_SID, QueryCode.CHECKSUM, args=args))
                found[kind] = parse_checksum(answer)[1]
            return found
    except TimeoutError:
        text = f"{endpoint} did not answer in {REPLICA_SECONDS_MAX:.0f} s"
        raise OperationError(errno.ETIMEDOUT, text) from None
    except WireError as error:
        raise OperationError(errno.EPROTO, f"{endpoint}: {error.text}") from error


async def _call(connection: ClientConnection, request: rq.Request) -> bytes:
    response = await connection.call(request, REPLICA_SECONDS_MAX)
    if response.status != Status.OK:
        raise error_of(response)
    return bytes(response.body)


def _compare(expected: Record, found: dict[str, Any]) -> str:
    """`ok`, or which figures differ from the namespace's."""
    differing = [
        key
        for key in ("size", *_KINDS)
        if expected[key] not in ("", None) and str(expected[key]) != str(found[key])
    ]
    return GOOD if not differing else f"{', '.join(differing)} differ"
