"""`thesan space`: spaces, their policies, and the explanation of a placement."""

import argparse
from typing import Final

from thesan.cli.admin.answer import (
    ask,
    key_value,
    print_change,
    print_records,
    with_default_verb,
)
from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column

PLAIN: Final = (
    Column("type", "type", "left"),
    Column("name", "name", "left"),
    Column("geotag", "avg.stat.geotag", "left"),
    Column("groupsize", "cfg.groupsize"),
    Column("groupmod", "cfg.groupmod"),
    Column("N(fs)", "nofs"),
    Column("N(fs-rw)", "sum.<n>?configstatus@rw"),
    Column("sum(usedbytes)", "sum.stat.statfs.usedbytes", "bytes"),
    Column("sum(capacity)", "sum.stat.statfs.capacity", "bytes"),
    Column("capacity(rw)", "sum.stat.statfs.capacity?configstatus@rw", "bytes"),
    Column("nom.capacity", "cfg.nominalsize", "bytes"),
    Column("sched.capacity", "sched.capacity", "bytes"),
    Column("usage", "usage", "percent"),
    Column("quota", "cfg.quota", "left"),
    Column("balancing", "cfg.balancer", "left"),
    Column("threshold", "cfg.balancer.threshold"),
    Column("active", "cfg.status", "left"),
)
SETTINGS: Final = (Column("key", "key", "left"), Column("value", "value", "left"))


def run(context: Context, argv: list[str]) -> int:
    """`space [ls | status | define | config | set | rm | place]`; ls without a verb."""
    options = _parser().parse_args(with_default_verb(argv, "ls"))
    match options.verb:
        case "ls":
            return print_records(
                context, ask(context, "space", "ls", match=options.match).records, PLAIN
            )
        case "status":
            return _status(context, options.space)
        case "place":
            return _place(context, options)
        case "define":
            reply = ask(
                context,
                "space",
                "define",
                space=options.space,
                groupsize=options.groupsize,
                groupmod=options.groupmod,
            )
        case "config":
            key, value = key_value(options.setting)
            reply = ask(context, "space", "config", space=options.space, key=key, value=value)
        case "set":
            reply = ask(context, "space", "set", space=options.space, status=options.status)
        case _:
            reply = ask(context, "space", "rm", space=options.space)
    return print_change(context, reply)


def _parser() -> argparse.ArgumentParser:
    top = parser("space", "Spaces: sets of filesystems that share policies.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    ls = verbs.add_parser("ls", help="list spaces (the default)")
    ls.add_argument("match", nargs="?", metavar="NAME")
    for name, text in (
        ("status", "configuration of a space"),
        ("define", "define a space"),
        ("config", "set a key; fs.KEY sets KEY of all its filesystems"),
        ("set", "switch a space on or off"),
        ("rm", "remove a space without filesystems"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("space", metavar="NAME")
        if name == "define":
            verb.add_argument("groupsize", nargs="?", help="filesystems in a group; 0: no limit")
            verb.add_argument("groupmod", nargs="?", help="number of groups (24)")
        if name == "config":
            verb.add_argument("setting", metavar="KEY=VALUE")
        if name == "set":
            verb.add_argument("status", choices=["on", "off"])
    text = "throw the dice for a new file and say why they fell so; nothing is placed"
    place = verbs.add_parser("place", help=text, description=text)
    place.add_argument("space", nargs="?", default="default", metavar="NAME")
    place.add_argument("--replicas", help="number of replicas (2)")
    place.add_argument("--size", help="bytes, such as 4096 or 10G")
    place.add_argument("--geotag", help="where the client is")
    place.add_argument("--exclude", metavar="FSID,...", help="filesystems that must not be chosen")
    place.add_argument("--group", metavar="SPACE.N", help="this group only")
    place.add_argument("--explain", action="store_true", help="every step (otherwise: the choice)")
    return top


def _status(context: Context, name: str) -> int:
    records = ask(context, "space", "status", space=name).records
    if context.output is not Output.TABLE:
        return print_records(context, records, SETTINGS)
    print(f"# space {name}")
    width = max((len(record["key"]) for record in records), default=0)
    for record in records:
        print(f"{record['key']:<{width}} := {record['value']}")
    return 0


def _place(context: Context, options: argparse.Namespace) -> int:
    reply = ask(
        context,
        "space",
        "place",
        space=options.space,
        replicas=options.replicas,
        size=options.size,
        geotag=options.geotag,
        exclude=options.exclude,
        group=options.group,
    )
    if context.output is not Output.TABLE:
        return print_records(context, reply.records, ())
    print(reply.text)
    for record in reply.records:
        if options.explain or not record["fsids"]:
            for line in record["why"]:
                print(f"  {line}")
    return 0
