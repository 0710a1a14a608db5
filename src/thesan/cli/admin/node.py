"""`thesan node`: FSTs. Columns as EOS' `node ls`."""

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
from thesan.cli.context import Context
from thesan.cli.main import parser
from thesan.cli.render import Column

PLAIN: Final = (
    Column("type", "type", "left"),
    Column("hostport", "hostport", "left"),
    Column("geotag", "cfg.stat.geotag", "left"),
    Column("status", "status", "left"),
    Column("activated", "cfg.status", "left"),
    Column("heartbeatdelta", "heartbeatdelta"),
    Column("nofs", "nofs"),
)
IO: Final = (
    Column("hostport", "hostport", "left"),
    Column("geotag", "cfg.stat.geotag", "left"),
    Column("diskload", "avg.stat.disk.load", "float"),
    Column("diskr-MB/s", "sum.stat.disk.readratemb", "float"),
    Column("diskw-MB/s", "sum.stat.disk.writeratemb", "float"),
    Column("eth-MiB/s", "cfg.stat.net.ethratemib", "float"),
    Column("ethi-MiB", "cfg.stat.net.inratemib", "float"),
    Column("etho-MiB", "cfg.stat.net.outratemib", "float"),
    Column("ropen", "sum.stat.ropen"),
    Column("wopen", "sum.stat.wopen"),
    Column("used-bytes", "sum.stat.statfs.usedbytes", "bytes"),
    Column("max-bytes", "sum.stat.statfs.capacity", "bytes"),
    Column("used-files", "sum.stat.usedfiles", "count"),
    Column("max-files", "sum.stat.statfs.files", "count"),
)
SYS: Final = (
    Column("hostport", "hostport", "left"),
    Column("geotag", "cfg.stat.geotag", "left"),
    Column("vsize", "cfg.stat.sys.vsize", "bytes"),
    Column("rss", "cfg.stat.sys.rss", "bytes"),
    Column("threads", "cfg.stat.sys.threads"),
    Column("sockets", "cfg.stat.sys.sockets"),
    Column("version", "cfg.stat.sys.eos.version", "left"),
    Column("kernel", "cfg.stat.sys.kernel", "left"),
    Column("uptime", "cfg.stat.sys.uptime"),
)


def run(context: Context, argv: list[str]) -> int:
    """`node [ls | status | set | config | rm]`; ls without a verb."""
    options = _parser().parse_args(with_default_verb(argv, "ls"))
    match options.verb:
        case "ls":
            columns = IO if options.io else SYS if options.sys else PLAIN
            return print_records(
                context, ask(context, "node", "ls", match=options.match).records, columns
            )
        case "status":
            for record in ask(context, "node", "status", node=options.node).records:
                print_fields(context, record)
            return 0
        case "set":
            reply = ask(context, "node", "set", node=options.node, status=options.status)
        case "config":
            key, value = key_value(options.setting)
            reply = ask(context, "node", "config", node=options.node, key=key, value=value)
        case _:
            reply = ask(context, "node", "rm", node=options.node)
    return print_change(context, reply)


def _parser() -> argparse.ArgumentParser:
    top = parser("node", "FSTs, by HOST:PORT or by a HOST that has one FST only.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    ls = verbs.add_parser("ls", help="list FSTs (the default)")
    kinds = ls.add_mutually_exclusive_group()
    kinds.add_argument("--io", action="store_true", help="load and rates")
    kinds.add_argument("--sys", action="store_true", help="process and kernel")
    ls.add_argument("match", nargs="?", help="HOST or HOST:PORT")
    for name, text in (
        ("status", "everything known of one FST"),
        ("set", "switch an FST on or off"),
        ("config", "set a key of an FST (comment)"),
        ("rm", "remove an FST without filesystems"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("node", metavar="HOST:PORT")
        if name == "set":
            verb.add_argument("status", choices=["on", "off"])
        if name == "config":
            verb.add_argument("setting", metavar="KEY=VALUE")
    return top
