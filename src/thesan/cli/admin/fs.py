"""`thesan fs`: filesystems. Columns as EOS' `fs ls`."""

import argparse
from typing import Final

from thesan.cli.admin.answer import (
    ask,
    key_value,
    print_change,
    print_fields,
    print_records,
    with_default_verb,
)
from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column, Record

PLAIN: Final[tuple[Column, ...]] = (
    Column("host", "host", "left"),
    Column("port", "port"),
    Column("id", "id"),
    Column("path", "path", "left"),
    Column("schedgroup", "schedgroup", "left"),
    Column("geotag", "stat.geotag", "left"),
    Column("boot", "stat.boot", "left"),
    Column("configstatus", "configstatus", "left"),
    Column("drain", "local.drain", "left"),
    Column("usage", "usage", "percent"),
    Column("active", "stat.active", "left"),
    Column("health", "stat.health", "left"),
)
LONG: Final = (
    *PLAIN[:3],
    Column("uuid", "uuid", "left"),
    *PLAIN[3:6],
    Column("headroom", "headroom", "bytes"),
    *PLAIN[6:],
    Column("scaninterval", "scaninterval"),
    Column("statuscomment", "statuscomment", "left"),
)
ERRORS: Final = (
    PLAIN[0],
    PLAIN[2],
    PLAIN[3],
    PLAIN[6],
    PLAIN[7],
    PLAIN[8],
    PLAIN[10],
    Column("errc", "stat.errc"),
    Column("errmsg", "stat.errmsg", "left"),
)
SOUND: Final = {
    "stat.errc": 0,
    "stat.active": "online",
    "stat.boot": "booted",
    "configstatus": "rw",
}
"""A filesystem that serves everything. EOS' view looks at `errc` only, and so shows nothing of a
node that is dead."""
DRAIN: Final = (
    *PLAIN[:4],
    PLAIN[8],
    Column("progress", "local.drain.progress"),
    Column("files", "local.drain.files"),
    Column("bytes-left", "local.drain.bytesleft", "bytes"),
    Column("timeleft", "local.drain.timeleft"),
    Column("failed", "local.drain.failed"),
)
IO: Final = (
    Column("hostport", "hostport", "left"),
    PLAIN[2],
    PLAIN[4],
    PLAIN[5],
    Column("diskload", "stat.disk.load", "float"),
    Column("diskr-MB/s", "stat.disk.readratemb", "float"),
    Column("diskw-MB/s", "stat.disk.writeratemb", "float"),
    Column("eth-MiB/s", "stat.net.ethratemib", "float"),
    Column("ethi-MiB", "stat.net.inratemib", "float"),
    Column("etho-MiB", "stat.net.outratemib", "float"),
    Column("ropen", "stat.ropen"),
    Column("wopen", "stat.wopen"),
    Column("usage %", "usage", "percent"),
    Column("used-bytes", "stat.statfs.usedbytes", "bytes"),
    Column("max-bytes", "stat.statfs.capacity", "bytes"),
    Column("used-files", "stat.usedfiles", "count"),
    Column("max-files", "stat.statfs.files", "count"),
    Column("bal-shd", "local.balancer.running"),
    Column("iops", "stat.disk.iops"),
    Column("bw", "stat.disk.bw", "float"),
)


def run(context: Context, argv: list[str]) -> int:
    """`fs [ls | status | add | config | boot | mv | rm | dropdeletion]`; ls without a verb."""
    options = _parser().parse_args(with_default_verb(argv, "ls"))
    match options.verb:
        case "ls":
            return _ls(context, options)
        case "status":
            reply = ask(context, "fs", "status", fs=options.fs)
            for record in reply.records:
                print_fields(context, record)
            return 0
        case "add":
            reply = ask(
                context,
                "fs",
                "add",
                fsid=options.fsid,
                uuid=options.uuid,
                node=options.node,
                path=options.path,
                space=options.space,
                status=options.status,
            )
        case "config":
            key, value = key_value(options.setting)
            reply = ask(
                context,
                "fs",
                "config",
                fs=options.fs,
                key=key,
                value=value,
                comment=options.comment,
            )
        case "boot":
            target = options.target
            # host:port names a node, unless a path follows: that is one of its filesystems.
            is_node = ":" in target and "/" not in target
            reply = ask(context, "fs", "boot", **{"node" if is_node else "fs": target})
        case "mv":
            reply = ask(context, "fs", "mv", fs=options.fs, target=options.target)
        case _:
            reply = ask(context, "fs", options.verb, fs=options.fs)
    return print_change(context, reply)


def _parser() -> argparse.ArgumentParser:
    top = parser("fs", "Filesystems: disks that FSTs offer. FS is an fsid, a uuid or NODE/PATH.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    ls = verbs.add_parser("ls", help="list filesystems (the default)")
    kinds = ls.add_mutually_exclusive_group()
    kinds.add_argument("-l", action="store_true", help="uuid, headroom, comment too")
    kinds.add_argument("-e", action="store_true", help="only those out of service, and why")
    kinds.add_argument("-d", action="store_true", help="only those that drain, and how far")
    kinds.add_argument("--io", action="store_true", help="load and rates")
    ls.add_argument("-s", dest="space", metavar="SPACE", help="only of this space")
    ls.add_argument("match", nargs="?", help="a node, host, group, space or fsid")
    _one(verbs, "status", "everything known of one filesystem")
    add = verbs.add_parser("add", help="add a filesystem to a space")
    add.add_argument("--fsid", type=int, help="wanted fsid; the next free one by default")
    add.add_argument("uuid")
    add.add_argument("node", metavar="HOST:PORT")
    add.add_argument("path", metavar="MOUNTPOINT")
    add.add_argument("space", metavar="SPACE[.GROUP]", nargs="?", default="default")
    add.add_argument("status", nargs="?", default="rw", help="configstatus (rw)")
    config = _one(verbs, "config", "set configstatus, headroom, forcegeotag and other keys")
    config.add_argument("setting", metavar="KEY=VALUE")
    config.add_argument("--comment", help="why: shown as statuscomment")
    boot = verbs.add_parser("boot", help="let the FST boot filesystems again")
    boot.add_argument("target", metavar="FS|HOST:PORT|*")
    mv = _one(verbs, "mv", "move an empty filesystem to another group or space")
    mv.add_argument("target", metavar="SPACE[.GROUP]")
    _one(verbs, "rm", "remove an empty filesystem")
    _one(verbs, "dropdeletion", "forget the pending deletions of a filesystem")
    return top


def _one(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text)
    verb.add_argument("fs", metavar="FS")
    return verb


def _ls(context: Context, options: argparse.Namespace) -> int:
    records = ask(context, "fs", "ls", match=options.match or options.space).records
    if options.match and options.space:
        records = [one for one in records if _space_of(one) == options.space]
    columns = PLAIN
    if options.e:
        columns = ERRORS
        records = [record for record in records if _is_out_of_service(record)]
    elif options.d:
        columns = DRAIN
        records = [record for record in records if record.get("local.drain") != "nodrain"]
    elif options.l:
        columns = LONG
    elif options.io:
        columns = IO
    if context.output is Output.TABLE and options.io:
        records = [{**one, "hostport": f"{one['host']}:{one['port']}"} for one in records]
    return print_records(context, records, columns)


def _is_out_of_service(record: Record) -> bool:
    return any(record.get(key, sound) != sound for key, sound in SOUND.items())


def _space_of(record: Record) -> str:
    return str(record.get("schedgroup", "")).partition(".")[0]
