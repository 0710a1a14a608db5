"""`thesan quota`: usage and limits by quota node. Columns and options as EOS' `quota`."""

import argparse
from typing import Any, Final

from thesan.cli.admin.answer import ask, print_change, print_records, with_default_verb
from thesan.cli.context import Context, Output
from thesan.cli.files import path_of
from thesan.cli.main import parser
from thesan.cli.render import Column, Record, table

COLUMNS: Final = (
    Column("account", "account", "left"),
    Column("used bytes", "usedbytes", "bytes"),
    Column("logi bytes", "usedlogicalbytes", "bytes"),
    Column("used files", "usedfiles", "count"),
    Column("aval bytes", "maxbytes", "bytes"),
    Column("aval logib", "maxlogicalbytes", "bytes"),
    Column("aval files", "maxfiles", "count"),
    Column("filled[%]", "percentageusedbytes", "percent"),
    Column("vol-status", "statusbytes", "left"),
    Column("ino-status", "statusfiles", "left"),
)
_KINDS: Final = {"u": "user", "g": "group", "p": "project"}


def run(context: Context, argv: list[str]) -> int:
    """`quota [ls | set | rm | rmnode]`; ls without a verb."""
    options = _parser().parse_args(with_default_verb(argv, "ls"))
    path = options.path or options.place
    path = path_of(path) if path else None
    if options.verb != "ls" and path is None:
        _parser().error(f"quota {options.verb} needs a path")
    match options.verb:
        case "ls":
            reply = ask(context, "quota", "ls", path=path, uid=options.uid, gid=options.gid)
            return _print_lines(context, reply.records)
        case "set":
            reply = ask(
                context,
                "quota",
                "set",
                path=path,
                bytes=options.bytes,
                files=options.files,
                **_account(options),
            )
        case "rm":
            reply = ask(
                context,
                "quota",
                "rm",
                path=path,
                bytes=options.bytes or None,
                files=options.files or None,
                **_account(options),
            )
        case _:
            reply = ask(context, "quota", "rmnode", path=path)
    return print_change(context, reply)


def _parser() -> argparse.ArgumentParser:
    top = parser("quota", "Usage and limits. A quota node is a directory from which is counted.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    ls = verbs.add_parser("ls", help="usage and limits (the default)")
    ls.add_argument("-u", dest="uid", metavar="UID", help="only this user")
    ls.add_argument("-g", dest="gid", metavar="GID", help="only this group")
    for name, text in (
        ("set", "set bytes, files or both of one account"),
        ("rm", "remove the limit of one account"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        whose = verb.add_mutually_exclusive_group(required=True)
        whose.add_argument("-u", dest="user", metavar="UID", help="a user, by number or name")
        whose.add_argument("-g", dest="gid", metavar="GID", help="a group")
        whose.add_argument("--project", action="store_true", help="everybody together")
        if name == "set":
            verb.add_argument("-v", dest="bytes", metavar="BYTES", help="such as 10G; physical")
            verb.add_argument("-i", dest="files", metavar="FILES", help="such as 1M")
        else:
            verb.add_argument("-v", dest="bytes", action="store_true", help="only that of bytes")
            verb.add_argument("-i", dest="files", action="store_true", help="only that of files")
    verbs.add_parser("rmnode", help="a directory is no quota node any more")
    for verb in verbs.choices.values():
        verb.add_argument("-p", dest="path", metavar="PATH", help="the quota node")
        verb.add_argument("place", nargs="?", metavar="PATH", help="the same")
    return top


def _account(options: argparse.Namespace) -> dict[str, Any]:
    if options.project:
        return {"project": True}
    return {"user": options.user} if options.user is not None else {"gid": options.gid}


def _print_lines(context: Context, records: list[Record]) -> int:
    """A table for each quota node and kind of account, as EOS prints them."""
    if context.output is not Output.TABLE:
        return print_records(context, records, COLUMNS)
    parts: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        account = record.get("uid", record.get("gid", ""))
        line = {**record, "account": account}
        for key in ("maxbytes", "maxlogicalbytes", "maxfiles"):
            if not line[key]:
                line[key] = "-"
        parts.setdefault((record["space"], record["kind"]), []).append(line)
    for (space, kind), lines in parts.items():
        named = (Column(_KINDS.get(kind, kind), "account", "left"), *COLUMNS[1:])
        if context.header:
            print(f"==> quota node: {space}")
        print(table(lines, named, header=context.header))
    return 0
