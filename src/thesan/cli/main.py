"""The `thesan` command: global options, then a noun or verb, found in one table.

Modules are imported only when their command is called: `thesan version` must not pay for the rest.
Exit status: 0, an errno as EOS gives it, or 2 for wrong usage.
"""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable
from typing import Final

from thesan.cli.context import Context, Output
from thesan.core.model.errors import ThesanError

Command = Callable[[Context, list[str]], int]

COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    # name: (group, module:function below thesan.cli, one line of help)
    "cp": ("files", "copy_command:run", "copy files and trees in, out and within"),
    "ls": ("files", "files:ls", "list a directory"),
    "stat": ("files", "files:stat", "show a file's or directory's metadata"),
    "mkdir": ("files", "files:mkdir", "make directories"),
    "rm": ("files", "files:rm", "remove files (-r: trees)"),
    "rmdir": ("files", "files:rmdir", "remove empty directories"),
    "mv": ("files", "files:mv", "rename"),
    "ln": ("files", "files:ln", "make a hard or symbolic link"),
    "chmod": ("files", "files:chmod", "change permission bits"),
    "chown": ("files", "files:chown", "change owner and group"),
    "touch": ("files", "files:touch", "make an empty file or set its times"),
    "cat": ("files", "files:cat", "print files"),
    "find": ("files", "tree:find", "walk a tree"),
    "du": ("files", "tree:du", "sizes of trees"),
    "attr": ("files", "attributes:attr", "extended attributes: ls get set rm"),
    "acl": ("files", "attributes:acl", "access control lists"),
    "file": ("files", "file_info:file", "replicas: file info, file check"),
    "fileinfo": ("files", "file_info:info", "alias of file info"),
    "ns": ("instance", "admin.ns:run", "namespace and mastership"),
    "fs": ("instance", "admin.fs:run", "filesystems: ls status add config boot mv rm"),
    "mgm": ("instance", "admin.mgm:run", "MGMs: ls add join rm"),
    "node": ("instance", "admin.node:run", "FSTs, MGMs, engine: ls status set config rm"),
    "group": ("instance", "admin.group:run", "scheduling groups: ls set rm"),
    "space": ("instance", "admin.space:run", "spaces: ls status define config set rm place"),
    "vid": ("instance", "admin.vid:run", "identity mapping: ls set rm enable disable add remove"),
    "quota": ("instance", "admin.quota:run", "quota nodes: ls set rm rmnode"),
    "engine": ("instance", "admin.engine:run", "the journal's engine: status recover migrate"),
    "who": ("instance", "admin.who:who", "who is connected"),
    "whoami": ("instance", "admin.who:whoami", "whom the MGM takes you for"),
    "config": ("instance", "admin.version:config", "the configuration in the journal"),
    "version": ("instance", "admin.version:version", "client and server versions"),
    "daemon": ("daemons", "serve:daemon", "run an MGM or an FST in the foreground"),
    "journal": ("daemons", "journal:run", "an MGM's segments: ls verify restore adopt"),
    "keytab": ("daemons", "keytab:run", "keys of the daemons: create add show"),
    "supervise": ("daemons", "supervisor:run", "keep daemons running (used by demo)"),
    "demo": ("try it", "demo.command:run", "a whole instance on this machine"),
    "simulate": ("try it", "simulate:run", "the instance in a simulated world"),
}


def usage() -> str:
    """The help page, grouped."""
    lines = ["usage: thesan [-j | -m] [-N] [--any] [--mgm URL] [-r UID GID] COMMAND ...", ""]
    group = ""
    for name, (of, _, text) in COMMANDS.items():
        if of != group:
            lines.append(f"{of}:")
            group = of
        lines.append(f"  {name:<10} {text}")
    lines += [
        "",
        "options in front of the command or behind it (mkdir has a -m of its own):",
        "  -j, --json        one JSON document",
        "  -m, --monitor     key=value pairs, one object a line (EOS' keys)",
        "  -N, --no-header   tables without their header",
        "  --any, --leader   a standby may answer what only reads; only the master (default)",
        "",
        "options in front of the command:",
        "  --mgm URL         root://HOST[:PORT][,HOST...] (or $THESAN_MGM_URL)",
        "  -r UID GID        act as another identity: sudoers, admin commands",
        "",
        "`thesan COMMAND --help` tells more. Exit status: 0, the failure's errno, 2 for usage.",
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    context = Context(mgm_url=os.environ.get("THESAN_MGM_URL", ""))
    try:
        rest = _take_globals(context, arguments)
    except ValueError as error:
        print(f"thesan: {error}", file=sys.stderr)
        return 2
    return run_command(_dispatch, context, rest)


def _dispatch(context: Context, words: list[str]) -> int:
    if not words or words[0] in ("help", "-h", "--help"):
        print(usage())
        return 0 if words else 2
    name, *parameters = words
    if name == "--version":
        name = "version"
    if name not in COMMANDS:
        print(f"thesan: no command {name!r} (thesan help lists them)", file=sys.stderr)
        return 2
    if context.act_as is not None and COMMANDS[name][0] == "files" and name not in _ACT_AS:
        # XRootD's own requests have no field for it: never do as ourselves what was to be done
        # as somebody else.
        print(f"thesan: -r does not work for {name}: log in as that user", file=sys.stderr)
        return 2
    return _load(name)(context, parameters)


def run_command(command: Command, context: Context, parameters: list[str]) -> int:
    """Call a command; turn errors into EOS' form on stderr and an exit status."""
    try:
        return _run_to_the_end(command, context, parameters)
    except ThesanError as error:
        _end_output()
        _tell(str(error), error.errno)
        return error.exit_status
    except BrokenPipeError:
        # The reader (head, less) went away: no news to tell.
        _end_output()
        return errno.EPIPE
    except OSError as error:
        # Mostly of the place that we print to: a full disk. Those of a server are ThesanErrors.
        _end_output()
        # Those of the resolver are negative, a TimeoutError has none.
        number = error.errno if error.errno and error.errno > 0 else errno.EIO
        text = error.strerror or str(error) or type(error).__name__
        _tell(f"{error.filename}: {text}" if error.filename else text, number)
        return number
    except KeyboardInterrupt:
        _end_output()
        print("\nthesan: interrupted", file=sys.stderr)
        return 130


def _run_to_the_end(command: Command, context: Context, parameters: list[str]) -> int:
    """What is printed has also arrived, or an OSError says why not."""
    try:
        status = command(context, parameters)
    except SystemExit:
        # argparse printed its help, or what is wrong with the usage.
        _flush()
        raise
    _flush()
    return status


def _flush() -> None:
    # Without a standard output (`>&-`) there is nothing to flush.
    if sys.stdout is not None:
        sys.stdout.flush()


def _end_output() -> None:
    """After a failure: print what can be, and leave nothing that would fail again at exit."""
    try:
        _flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(text: str, number: int) -> None:
    print(f"error: {text}", file=sys.stderr)
    print(f"(errc={number}) ({os.strerror(number)})", file=sys.stderr)


def _load(name: str) -> Command:
    module_name, _, function = COMMANDS[name][1].partition(":")
    module = importlib.import_module(f"thesan.cli.{module_name}")
    command: Command = getattr(module, function)
    return command


def _take_globals(context: Context, arguments: list[str]) -> list[str]:
    """Take the global options from in front of the command; -j -m -N --any also from behind it.

    Raises ValueError for a global option that lacks its value.
    """
    rest: list[str] = []
    position = 0
    while position < len(arguments):
        word = arguments[position]
        position += 1
        if word == "--":
            rest += arguments[position - 1 :]
            break
        if word in ("-j", "--json"):
            context.output = Output.JSON
        elif word in ("-m", "--monitor") and (not rest or rest[0] not in _OWN_M):
            context.output = Output.MONITOR
        elif word in ("-N", "--no-header"):
            context.header = False
        elif word in ("--any", "--leader"):
            context.any_mgm = word == "--any"
        elif rest:
            rest.append(word)
        elif word == "--mgm":
            if position >= len(arguments):
                raise ValueError("--mgm needs a URL")
            context.mgm_url = arguments[position]
            position += 1
        elif word == "-r":
            if not all(value.isdigit() for value in arguments[position : position + 2] or ["-"]):
                raise ValueError("-r needs a numeric UID and GID")
            if position + 1 >= len(arguments):
                raise ValueError("-r needs a UID and a GID")
            context.act_as = (int(arguments[position]), int(arguments[position + 1]))
            position += 2
        else:
            rest.append(word)
    return rest


_OWN_M: Final = frozenset({"mkdir"})
"""Commands whose own -m is an option (mkdir -m MODE): there, say -m in front of the command."""


_ACT_AS: Final = frozenset({"acl", "chown", "ln", "touch", "file", "fileinfo"})
"""File commands that are control messages, which carry `-r UID GID`."""


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """An argument parser whose usage errors exit with 2, as everywhere."""
    return argparse.ArgumentParser(prog=f"thesan {name}", description=description)


if __name__ == "__main__":
    sys.exit(main())
