"""`thesan attr` and `thesan acl`: extended attributes and access control lists.

Of a tree, symbolic links are left out: what they lead to is not part of it.
"""

import errno
from collections.abc import Awaitable, Callable
from typing import TypeVar

from thesan.cli.context import Context, Output
from thesan.cli.files import below, path_of
from thesan.cli.main import parser
from thesan.cli.render import show
from thesan.core.control.messages import FileOp
from thesan.core.model.errors import OperationError
from thesan.roles.client.filesystem import Filesystem

_T = TypeVar("_T")


def attr(context: Context, argv: list[str]) -> int:
    """`attr [-r] ls PATH | set KEY=VALUE PATH | get KEY PATH | rm KEY PATH`."""
    top = parser("attr", "Extended attributes of files and directories.")
    top.add_argument("-r", "-R", action="store_true", help="the whole tree")
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("ls", help="list all").add_argument("path")
    setting = verbs.add_parser("set", help="set one")
    setting.add_argument("pair", metavar="KEY=VALUE")
    setting.add_argument("path")
    for verb, text in (("get", "print one"), ("rm", "remove one")):
        named = verbs.add_parser(verb, help=text)
        named.add_argument("key")
        named.add_argument("path")
    chosen = top.parse_args(argv)
    path = path_of(chosen.path)

    async def work(fs: Filesystem) -> list[dict[str, str]]:
        paths = [path]
        if chosen.r:
            paths += [each async for each in below(fs, path)]
        records = []
        for each in paths:
            match chosen.verb:
                case "ls":
                    listed = await fs.list_xattr(each)
                    found = {_full(key): value for key, value in listed.items()}
                    records += [
                        {"path": each, "key": key, "value": value.decode(errors="replace")}
                        for key, value in sorted(found.items())
                    ]
                case "get":
                    value = await _named(fs.get_xattr(each, chosen.key), each, chosen.key)
                    records.append(
                        {"path": each, "key": chosen.key, "value": value.decode(errors="replace")}
                    )
                case "set":
                    key, value_text = _pair(chosen.pair)
                    await fs.set_xattr(each, key, value_text.encode())
                case _:
                    await _named(fs.remove_xattr(each, chosen.key), each, chosen.key)
        return records

    records = context.with_filesystem(work)
    return _print(context, records, lambda one: f'{one["key"]}="{one["value"]}"')


def _full(name: str) -> str:
    """The whole name: XRootD lists `user.color` as `color`."""
    return name if name.startswith(("sys.", "user.")) else f"user.{name}"


def _pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE` or `KEY="VALUE"`, as `attr ls` prints them. Raises OperationError EINVAL."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise OperationError(errno.EINVAL, f"not KEY=VALUE: {text[:80]!r}")
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return key, value


async def _named(work: Awaitable[_T], path: str, key: str) -> _T:
    """`work`, with an error that names the attribute which is not there."""
    try:
        return await work
    except OperationError as error:
        if error.errno != errno.ENODATA:
            raise
        raise OperationError(errno.ENODATA, f"no attribute {key}: {path}") from error


def acl(context: Context, argv: list[str]) -> int:
    """`acl [-R] [--user] [-l] [RULE] PATH`: RULE as u:ID=rwx, g:ID:+w, z:-d; no RULE lists."""
    top = parser("acl", "Access control lists: `acl PATH`, `acl u:1000=rwx PATH`.")
    top.add_argument("-R", "-r", dest="recursive", action="store_true", help="the whole tree")
    top.add_argument("--user", action="store_true", help="user.acl instead of sys.acl")
    top.add_argument("-l", dest="only_list", action="store_true", help="list (default)")
    top.add_argument("rule", nargs="?")
    top.add_argument("path")
    chosen = top.parse_args(argv)
    args = {"kind": "user" if chosen.user else "sys"}
    if chosen.rule and not chosen.only_list:
        args["rule"] = chosen.rule

    async def work(fs: Filesystem) -> list[dict[str, str]]:
        path = path_of(chosen.path)
        paths = [path]
        if chosen.recursive:
            paths += [each async for each in below(fs, path)]
        records = []
        for each in paths:
            result = await fs.file_op(FileOp("acl", each, dict(args)))
            records.append({"path": each, "acl": str(result.get("acl", ""))})
        return records

    records = context.with_filesystem(work)
    form = "{path}: {acl}" if chosen.recursive else "{acl}"
    return _print(context, records, lambda one: form.format_map(one))


def _print(
    context: Context, records: list[dict[str, str]], line: Callable[[dict[str, str]], str]
) -> int:
    """The records, as a table one `line` each."""
    if context.output is not Output.TABLE:
        print(show(context, records, []))
        return 0
    for record in records:
        print(line(record))
    return 0
