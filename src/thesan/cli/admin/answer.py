"""What every admin command does: ask the MGM, then print records or the sentence of a change."""

import errno
import sys
from collections.abc import Sequence
from enum import Enum
from typing import Any

from thesan.cli.context import Context, Output
from thesan.cli.render import Column, Record, show
from thesan.core.authority.commands import find
from thesan.core.control.messages import Admin, AdminReply
from thesan.core.model.errors import OperationError


class Routing(Enum):
    """Which MGM may answer a command that only reads."""

    AS_SAID = "as said"
    """The master, or with --any whoever answers first."""
    ANY = "any"
    """Whoever answers first: for what is wanted most while there is no master."""


def ask(
    context: Context, noun: str, verb: str, routing: Routing = Routing.AS_SAID, **args: Any
) -> AdminReply:
    """Send one admin command; arguments that are None are left out."""
    given = {name: value for name, value in args.items() if value is not None}
    wants_any = context.any_mgm or routing is Routing.ANY
    if wants_any and not find(noun, verb).mutates:
        reply = context.ask_whoever(Admin(noun, verb, given))
        if context.any_mgm and reply.age_ms and context.output is Output.TABLE:
            print(f"thesan: a standby's answer, {reply.age_ms} ms old", file=sys.stderr)
        return reply
    given["leader"] = True

    return context.with_filesystem(lambda fs: fs.admin(noun, verb, **given))


def print_records(context: Context, records: Sequence[Record], columns: Sequence[Column]) -> int:
    """A view: the table, one line a record (-m), or one document (-j)."""
    text = show(context, records, columns)
    if text:
        print(text)
    return 0


def print_change(context: Context, reply: AdminReply) -> int:
    """What a change did: its sentence for people, its records for programs."""
    match context.output:
        case Output.TABLE:
            if reply.text:
                print(reply.text)
        case Output.MONITOR | Output.JSON:
            print_records(context, reply.records, ())
    return 0


def print_fields(context: Context, record: Record) -> int:
    """One record: `key := value` lines for people, as EOS prints a status."""
    if context.output is not Output.TABLE:
        return print_records(context, [record], ())
    width = max(map(len, record), default=0)
    for key, value in record.items():
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
        print(f"{key:<{width}} := {text}".rstrip())
    return 0


def with_default_verb(argv: list[str], verb: str) -> list[str]:
    """`argv` that begins with a verb: `verb` where the first word is none."""
    if not argv:
        return [verb]
    if argv[0].startswith("-") and argv[0] not in ("-h", "--help"):
        return [verb, *argv]
    return argv


def key_value(text: str) -> tuple[str, str]:
    """`KEY=VALUE` taken apart. Raises OperationError EINVAL."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise OperationError(errno.EINVAL, f"not KEY=VALUE: {text[:80]!r}")
    return key, value
