"""`thesan mgm`: the MGMs of an instance. EOS has no counterpart: there, an MGM is added by writing
its configuration and QuarkDB's member list by hand."""

import argparse
import dataclasses
import errno
import os
import time
from pathlib import Path
from typing import Final

from thesan.cli.admin.answer import ask, print_change, print_records, with_default_verb
from thesan.cli.admin.mgm_config import Files, write_files
from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column
from thesan.core.authority.invitation import fingerprint, parse_token, unseal
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import JOIN_TOKEN_SECONDS

PLAIN: Final = (
    Column("hostport", "hostport", "left"),
    Column("role", "role", "left"),
    Column("status", "status", "left"),
    Column("epoch", "epoch"),
    Column("journal", "applied"),
    Column("lag", "lag"),
    Column("durable", "durable"),
    Column("eligible", "eligible", "left"),
    Column("heartbeatdelta", "heartbeatdelta"),
    Column("geotag", "geotag", "left"),
    Column("version", "version", "left"),
    Column("why", "why", "left"),
)
TOKEN_VARIABLE: Final = "THESAN_JOIN_TOKEN"
"""Where `mgm join -` finds the token, so that `ps` does not show it."""


def run(context: Context, argv: list[str]) -> int:
    """`mgm [ls | add | join | rm]`; ls without a verb."""
    options = _parser().parse_args(with_default_verb(argv, "ls"))
    match options.verb:
        case "ls":
            return print_records(context, ask(context, "mgm", "ls").records, PLAIN)
        case "add":
            return _add(context, options)
        case "join":
            return _join(context, options)
        case _:
            return print_change(context, ask(context, "mgm", "rm", mgm=options.mgm))


def _parser() -> argparse.ArgumentParser:
    top = parser("mgm", "The MGMs of the instance: one is master, the others stand by.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("ls", help="list MGMs, what they are and why (the default)")
    text = "print a token by which a new MGM can join, once"
    add = verbs.add_parser("add", help=text, description=text)
    add.add_argument("mgm", metavar="HOST:PORT", help="the address that the new MGM will have")
    add.add_argument("--geotag", help="place of the new MGM: site::room::rack")
    add.add_argument(
        "--expires",
        type=int,
        default=JOIN_TOKEN_SECONDS,
        metavar="SECONDS",
        help=f"how long the token is good ({JOIN_TOKEN_SECONDS})",
    )
    add.add_argument(
        "--no-token",
        action="store_true",
        help="only make the address a member: keytab and settings are brought by other means",
    )
    text = "on the new machine: take up the token, and write what `daemon run mgm` needs"
    join = verbs.add_parser("join", help=text, description=text)
    join.add_argument("token", metavar="TOKEN", help=f"as mgm add printed it; -: ${TOKEN_VARIABLE}")
    join.add_argument("--data", type=Path, required=True, metavar="DIR", help="its directory")
    join.add_argument("--address", metavar="HOST:PORT", help="as it was said to mgm add")
    remove = verbs.add_parser("rm", help="an MGM is no member any more, and may not take over")
    remove.add_argument("mgm", metavar="HOST:PORT")
    return top


def _add(context: Context, options: argparse.Namespace) -> int:
    if options.no_token:
        return print_change(context, ask(context, "mgm", "add", mgm=options.mgm))
    reply = ask(
        context, "mgm", "invite", mgm=options.mgm, expires=options.expires, geotag=options.geotag
    )
    (record,) = reply.records
    if context.output is not Output.TABLE:
        return print_records(context, [record], ())
    print(
        f"On {options.mgm.rpartition(':')[0]}, within {_span(options.expires)} (the token is good "
        "once; who has it gets the keytab):\n\n"
        f"  thesan mgm join {record['token']} \\\n"
        f"      --data /var/lib/thesan/mgm --address {options.mgm}\n"
    )
    return 0


def _span(seconds: int) -> str:
    for size, word in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word}"
    return "an hour" if seconds >= 3600 else f"{seconds} seconds"


def _join(context: Context, options: argparse.Namespace) -> int:
    """Check all that can be checked before the token is used up, then take it up."""
    text = os.environ.get(TOKEN_VARIABLE, "") if options.token == "-" else options.token
    token = parse_token(text)
    if token.expires_s <= time.time():
        raise OperationError(errno.ESTALE, "this token has expired: `thesan mgm add` makes another")
    address = options.address or token.address
    if address != token.address:
        raise OperationError(
            errno.EINVAL,
            f"this token is for {token.address}, not for {address}: say that address, or make "
            "another token with `thesan mgm add`",
        )
    files = Files(options.data.absolute())
    files.check_absent()
    there = dataclasses.replace(context, mgm_url="root://" + ",".join(token.mgms))
    reply = ask(there, "mgm", "join", id=fingerprint(token.secret), mgm=address)
    box = reply.records[0].get("box", "") if reply.records else ""
    invitation = unseal(bytes.fromhex(box), token.secret)
    write_files(files, invitation)
    if context.output is not Output.TABLE:
        record = {"hostport": address, "config": str(files.config), "instance": invitation.instance}
        return print_records(context, [record], ())
    print(
        f"{reply.text}\nwritten: {files.config}\n         {files.keytab} (mode 0600)\n\n"
        f"Start it:  thesan daemon run mgm --config {files.config}\n"
        f"and see:   thesan --mgm root://{','.join(invitation.mgms)} mgm ls"
    )
    return 0
