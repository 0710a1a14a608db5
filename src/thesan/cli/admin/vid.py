"""`thesan vid`: the rules that map clients to identities. Verbs and options as EOS' `vid`."""

import argparse
import errno
from typing import Any

from thesan.cli.admin.answer import ask, print_change, print_records, with_default_verb
from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.core.authority.rules import PROTOCOLS
from thesan.core.model.errors import OperationError

_PROTOCOLS = tuple(prot for prot in PROTOCOLS if prot != "thk")


def run(context: Context, argv: list[str]) -> int:
    """`vid [ls | set | rm | enable | disable | add | remove]`; ls without a verb."""
    options = _parser().parse_args(with_default_verb(argv, "ls"))
    match options.verb:
        case "ls":
            records = ask(context, "vid", "ls").records
            if context.output is not Output.TABLE:
                return print_records(context, records, ())
            for record in records:
                print(f"{record['key']} => {record['value']}")
            return 0
        case "set":
            reply = ask(context, "vid", "set", **_rule(options))
        case "rm":
            reply = ask(context, "vid", "rm", key=options.key)
        case "enable" | "disable":
            reply = ask(context, "vid", options.verb, prot=options.prot)
        case _:
            reply = ask(context, "vid", options.verb, host=options.host, prot=options.prot)
    return print_change(context, reply)


def _parser() -> argparse.ArgumentParser:
    top = parser("vid", "Rules that map clients to identities.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("ls", help="list the rules (the default)")
    _set_parser(verbs.add_parser("set", help="set a rule"))
    verbs.add_parser("rm", help="remove a rule by its key, as vid ls shows it").add_argument("key")
    for name, text in (
        ("enable", "map users of a protocol to the accounts of their names"),
        ("disable", "stop mapping users of a protocol"),
    ):
        verbs.add_parser(name, help=text, description=text).add_argument("prot")
    for name, text in (
        ("add", "trust a host to say who its users are"),
        ("remove", "trust a host no more"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("what", choices=["gateway"])
        verb.add_argument("host", help="a host name, or a pattern with *")
        verb.add_argument("prot", nargs="?", help="only with this protocol")
    return top


def _set_parser(verb: argparse.ArgumentParser) -> None:
    kinds = verb.add_subparsers(dest="what", required=True, metavar="KIND")
    mapping = kinds.add_parser("map", help="who comes by PROT as PATTERN is UID, GID")
    prots = mapping.add_mutually_exclusive_group(required=True)
    for prot in _PROTOCOLS:
        prots.add_argument(f"-{prot}", dest="prot", action="store_const", const=prot)
    mapping.add_argument("pattern")
    mapping.add_argument("ids", nargs="+", metavar="vuid:UID | vgid:GID")
    member = kinds.add_parser("membership", help="what identities UID may take", prefix_chars="-+")
    member.add_argument("id", metavar="UID")
    member.add_argument("-uids", dest="uids", metavar="UID,...")
    member.add_argument("-gids", dest="gids", metavar="GID,...")
    sudo = member.add_mutually_exclusive_group()
    sudo.add_argument("+sudo", dest="sudo", action="store_true", default=None)
    sudo.add_argument("-sudo", dest="sudo", action="store_false", default=None)
    geotag = kinds.add_parser("geotag", help="where clients of an address prefix are")
    geotag.add_argument("prefix")
    geotag.add_argument("geotag")
    rule = kinds.add_parser("rule", help="KEY VALUE as vid ls shows them")
    rule.add_argument("key")
    rule.add_argument("value")


def _rule(options: argparse.Namespace) -> dict[str, Any]:
    match options.what:
        case "map":
            ids: dict[str, Any] = {}
            for word in options.ids:
                kind, colon, value = word.partition(":")
                if not colon or kind not in ("vuid", "vgid"):
                    raise OperationError(errno.EINVAL, f"not vuid:UID or vgid:GID: {word[:80]!r}")
                ids[kind[1:]] = value
            return {"what": "map", "prot": options.prot, "pattern": options.pattern, **ids}
        case "membership":
            return {
                "what": "membership",
                "id": options.id,
                "uids": options.uids,
                "gids": options.gids,
                "sudo": options.sudo,
            }
        case "geotag":
            return {"what": "geotag", "prefix": options.prefix, "geotag": options.geotag}
        case _:
            return {"what": "rule", "key": options.key, "value": options.value}
