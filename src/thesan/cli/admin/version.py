"""`thesan version` and `thesan config ls`: what runs, and with which configuration."""

from typing import Final

from thesan import __version__
from thesan.cli.admin.answer import Routing, ask, print_records
from thesan.cli.context import Context, Output
from thesan.cli.main import parser
from thesan.cli.render import Column
from thesan.core.model.errors import ThesanError

SETTINGS: Final = (
    Column("section", "section", "left"),
    Column("key", "key", "left"),
    Column("value", "value", "left"),
)
_CLIENT: Final = {"eos.client.version": __version__}


def version(context: Context, argv: list[str]) -> int:
    """`version`: of this command, and of the MGM that answers first when one is given.

    That nobody answers is an error, and does not hide the version of this command.
    """
    options = parser("version", "Versions of this command and of the instance.")
    options.add_argument("-c", "--client", action="store_true", help="do not ask the MGM")
    chosen = options.parse_args(argv)
    if chosen.client or not context.mgm_url:
        return _show_client(context)
    try:
        reply = ask(context, "version", "", Routing.ANY)
    except ThesanError:
        _show_client(context)
        raise
    if context.output is Output.TABLE:
        print(f"{reply.text}\nEOS_CLIENT_VERSION={__version__}")
        return 0
    return print_records(context, [{**record, **_CLIENT} for record in reply.records], ())


def _show_client(context: Context) -> int:
    if context.output is Output.TABLE:
        print(f"EOS_CLIENT_VERSION={__version__}")
        return 0
    return print_records(context, [dict(_CLIENT)], ())


def config(context: Context, argv: list[str]) -> int:
    """`config [ls [SECTION]]`: the configuration that the journal holds."""
    options = parser("config", "The configuration of the instance, as the journal holds it.")
    options.add_argument("verb", nargs="?", choices=["ls"], default="ls")
    options.add_argument("section", nargs="?", help="fs, node, group, space, mgm or vid")
    chosen = options.parse_args(argv)
    records = ask(context, "config", "ls", section=chosen.section).records
    return print_records(context, records, SETTINGS)
