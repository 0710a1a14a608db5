"""`thesan version` and `thesan config ls`: what runs, and with which configuration."""

from typing import Final

from thesan import __version__
from thesan.cli.admin.answer import ask, print_records
from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column

SETTINGS: Final = (
    Column("section", "section", "left"),
    Column("key", "key", "left"),
    Column("value", "value", "left"),
)


def version(context: Context, argv: list[str]) -> int:
    """`version`: of this command, and of the instance when an MGM is given."""
    options = parser("version", "Versions of this command and of the instance.")
    options.add_argument("-c", "--client", action="store_true", help="do not ask the MGM")
    chosen = options.parse_args(argv)
    client = {"eos.client.version": __version__}
    if chosen.client or not context.mgm_url:
        if context.output is Output.TABLE:
            print(f"EOS_CLIENT_VERSION={__version__}")
            return 0
        return print_records(context, [client], ())
    reply = ask(context, "version", "")
    if context.output is Output.TABLE:
        print(f"{reply.text}\nEOS_CLIENT_VERSION={__version__}")
        return 0
    return print_records(context, [{**record, **client} for record in reply.records], ())


def config(context: Context, argv: list[str]) -> int:
    """`config [ls [SECTION]]`: the configuration that the journal holds."""
    options = parser("config", "The configuration of the instance, as the journal holds it.")
    options.add_argument("verb", nargs="?", choices=["ls"], default="ls")
    options.add_argument("section", nargs="?", help="fs, node, group, space, mgm or vid")
    chosen = options.parse_args(argv)
    records = ask(context, "config", "ls", section=chosen.section).records
    return print_records(context, records, SETTINGS)
