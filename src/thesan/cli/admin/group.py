"""`thesan group`: scheduling groups. Columns as EOS' `group ls`."""

import argparse
from typing import Final

from thesan.cli.admin.answer import ask, print_change, print_records, with_default_verb
from thesan.cli.context import Context
from thesan.cli.main import parser
from thesan.cli.render import Column

PLAIN: Final = (
    Column("type", "type", "left"),
    Column("name", "name", "left"),
    Column("status", "cfg.status", "left"),
    Column("geotag", "avg.stat.geotag", "left"),
    Column("N(fs)", "nofs"),
    Column("dev(filled)", "dev.stat.statfs.filled", "percent"),
    Column("avg(filled)", "avg.stat.statfs.filled", "percent"),
    Column("sig(filled)", "sig.stat.statfs.filled", "percent"),
    Column("bal-shd", "local.balancer.running"),
)
IO: Final = (
    Column("name", "name", "left"),
    Column("diskload", "avg.stat.disk.load", "float"),
    Column("diskr-MB/s", "sum.stat.disk.readratemb", "float"),
    Column("diskw-MB/s", "sum.stat.disk.writeratemb", "float"),
    Column("eth-MiB/s", "sum.stat.net.ethratemib", "float"),
    Column("ethi-MiB", "sum.stat.net.inratemib", "float"),
    Column("etho-MiB", "sum.stat.net.outratemib", "float"),
    Column("ropen", "sum.stat.ropen"),
    Column("wopen", "sum.stat.wopen"),
    Column("used-bytes", "sum.stat.statfs.usedbytes", "bytes"),
    Column("max-bytes", "sum.stat.statfs.capacity", "bytes"),
    Column("used-files", "sum.stat.usedfiles", "count"),
    Column("max-files", "sum.stat.statfs.files", "count"),
)


def run(context: Context, argv: list[str]) -> int:
    """`group [ls | set | rm]`; ls without a verb."""
    options = _parser().parse_args(with_default_verb(argv, "ls"))
    match options.verb:
        case "ls":
            records = ask(context, "group", "ls", match=options.match).records
            return print_records(context, records, IO if options.io else PLAIN)
        case "set":
            reply = ask(context, "group", "set", group=options.group, status=options.status)
        case _:
            reply = ask(context, "group", "rm", group=options.group)
    return print_change(context, reply)


def _parser() -> argparse.ArgumentParser:
    top = parser("group", "Scheduling groups: the replicas of a file stay within one.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    ls = verbs.add_parser("ls", help="list groups (the default)")
    ls.add_argument("--io", action="store_true", help="load and rates")
    ls.add_argument("match", nargs="?", help="a group or a space")
    change = verbs.add_parser("set", help="switch a group on, drain or off")
    change.add_argument("group", metavar="SPACE.N")
    change.add_argument("status", choices=["on", "drain", "off"])
    remove = verbs.add_parser("rm", help="remove a group without filesystems")
    remove.add_argument("group", metavar="SPACE.N")
    return top
