"""`thesan who` and `thesan whoami`, in the words of EOS."""

from thesan.cli.admin.answer import ask, print_change, print_records
from thesan.cli.context import Context, Output
from thesan.cli.main import parser


def who(context: Context, argv: list[str]) -> int:
    """`who [-c] [-a]`: sessions by protocol and user; with -c one by one."""
    options = parser("who", "Who is connected to the MGM.")
    options.add_argument("-c", dest="clients", action="store_true", help="each client")
    options.add_argument("-a", dest="all", action="store_true", help="summaries and each client")
    chosen = options.parse_args(argv)
    records = ask(context, "who", "").records
    if context.output is not Output.TABLE:
        return print_records(context, records, ())
    for record in records:
        if "client" in record:
            if chosen.clients or chosen.all:
                # An application or daemon names itself; people have neither.
                app = f" {{{record['app']}}}" if record.get("app") else ""
                daemon = f" [{record['daemon']}]" if record.get("daemon") else ""
                print(
                    f"client : {record['client']} -> uid {record['uid']} "
                    f"({record['auth']}){daemon}{app} idle={record['idle']}"
                )
        elif chosen.clients:
            continue
        elif "auth" in record:
            print(f"auth   : {record['auth']:<24} := {record['nsessions']} sessions")
        elif "uid" in record:
            print(f"user   : {record['user']:<24} := {record['nsessions']} sessions")
    return 0


def whoami(context: Context, argv: list[str]) -> int:
    """`whoami`: whom the MGM takes the caller for."""
    parser("whoami", "Whom the MGM takes you for.").parse_args(argv)
    return print_change(context, ask(context, "whoami", ""))
