"""`thesan ns`: figures of the namespace, the journal and the MGM process, as EOS' `ns`."""

import argparse
from typing import Final

from thesan.cli.admin import ns_master
from thesan.cli.admin.answer import ask, print_records, with_default_verb
from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column, Record, table
from thesan.core.model.units import human_count

RULE: Final = "# " + "-" * 84
COUNTERS: Final = (
    Column("who", "uid", "left"),
    Column("command", "cmd", "left"),
    Column("sum", "total"),
    Column("5s", "5s", "float"),
    Column("1min", "60s", "float"),
    Column("5min", "300s", "float"),
    Column("1h", "3600s", "float"),
    Column("exec(ms)", "exec", "float"),
    Column("sigma(ms)", "execsig", "float"),
    Column("99p(ms)", "exec99", "float"),
    Column("max(ms)", "execmax", "float"),
)


def run(context: Context, argv: list[str]) -> int:
    """`ns`: the figures; `ns stat`: the counters of operations too (-a: those at 0 as well);
    `ns master`: see ns_master."""
    options = _parser().parse_args(argv and with_default_verb(argv, "stat"))
    if options.verb == "master":
        return ns_master.run(context, options)
    records = ask(context, "ns", "stat").records
    if context.output is not Output.TABLE:
        return print_records(context, records, ())
    values = {key: value for record in records if "cmd" not in record for key, value in
              record.items()}  # fmt: skip
    print(_page(values))
    if options.verb == "stat":
        counters = [one for one in records if "cmd" in one and (options.all or one["total"])]
        if counters:
            print(table(counters, COUNTERS, header=context.header))
    return 0


def _parser() -> argparse.ArgumentParser:
    top = parser("ns", "Figures of the namespace, the journal and the MGM process.")
    top.set_defaults(all=False)
    verbs = top.add_subparsers(dest="verb", metavar="VERB")
    stat = verbs.add_parser("stat", help="with the counters of operations")
    stat.add_argument("-a", dest="all", action="store_true", help="also operations never seen")
    text = "who is master and why, and what each MGM is; with HOST: hand over to that MGM"
    master = verbs.add_parser("master", help=text, description=text)
    which = master.add_mutually_exclusive_group()
    which.add_argument("host", nargs="?", metavar="HOST[:PORT]", help="the MGM to be master")
    which.add_argument("--history", action="store_true", help="the last switches and their times")
    return top


def _page(values: Record) -> str:
    """The lines that EOS prints, less those that thesan has no counterpart for."""

    def number(key: str) -> str:
        return str(values.get(key, "-"))

    def size(key: str) -> str:
        return human_count(int(values.get(key, 0)))

    status = f"[{number('ns.boot.status')}] ({number('ns.boot.time')}s)"
    is_master = "true" if values.get("ns.mgm.role") == "leader" else "false"
    healthy = "healthy" if values.get("ns.journal.healthy") else "NOT HEALTHY"
    journal = (
        f"{number('ns.journal.engine')} {healthy} entries={number('ns.journal.first')}.."
        f"{number('ns.journal.last')} size={size('ns.journal.bytes')}"
    )
    if values.get("ns.journal.detail"):
        journal += f" ({values['ns.journal.detail']})"
    replication = (
        f"is_master={is_master} master_id={number('ns.mgm.leader')} epoch={number('ns.mgm.epoch')}"
    )
    role = f"{number('ns.mgm.local')} is {number('ns.mgm.state')}"
    if values.get("ns.mgm.why"):
        role += f": {values['ns.mgm.why']}"
    lag = f"{number('ns.mgm.lag')} entries, age {number('ns.mgm.age.ms')} ms"
    cache = f"max={number('ns.cache.files.maxsize')} occupancy={number('ns.cache.files.occupancy')}"
    sections: list[list[tuple[str, str]]] = [
        [
            ("Files", f"{number('ns.total.files')} {status}"),
            ("Directories", f"{number('ns.total.directories')} {status}"),
            ("Total boot time", f"{number('ns.boot.time')} s"),
        ],
        [
            ("Replication", replication),
            ("This MGM", role),
            ("Lag", lag),
            ("Followers", number("ns.mgm.followers") or "none"),
            ("Journal", journal),
            ("Journal committed", number("ns.journal.committed")),
            ("Operations not yet durable", number("ns.journal.pending")),
            ("Answers held back", number("ns.answers.held")),
        ],
        [
            ("current file id", number("ns.current.fid")),
            ("open uploads", number("ns.uploads.open")),
            ("clients", number("ns.clients")),
            ("Inode cache", cache),
        ],
        [
            ("memory virtual", size("ns.memory.virtual")),
            ("memory resident", size("ns.memory.resident")),
            ("threads", number("ns.stat.threads")),
            ("sockets", number("ns.stat.sockets")),
            ("cpu load", number("ns.cpu.load")),
            ("uptime", f"{number('ns.uptime')} s"),
        ],
    ]
    lines = [RULE, "# Namespace Statistics", RULE]
    for section in sections:
        lines += [f"ALL      {title:<32} {text}" for title, text in section]
        lines.append(RULE)
    return "\n".join(lines)
