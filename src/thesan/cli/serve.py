"""`thesan daemon run mgm | fst`: where a real process is wired, and the only place that does it."""

import argparse
import asyncio
import faulthandler
import signal
import socket
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from thesan.cli.context import Context
from thesan.cli.keytab import read_keytab
from thesan.cli.main import parser
from thesan.core.authority.keytab import format_keytab
from thesan.core.model.errors import ConfigError
from thesan.core.model.leadership_limits import FAILOVER_SECONDS
from thesan.worlds.real.log import Format, Level, RealLog
from thesan.worlds.real.loop import freeze
from thesan.worlds.real.loop import run as run_loop
from thesan.worlds.real.tcp import find_dead_peers
from thesan.worlds.real.world import RealWorld

JOURNAL_HELP: Final = (
    "sqlite:PATH (default: in the data directory), or etcd:HOST:PORT,...[/PREFIX]"
    "[?ca=PEM&cert=PEM&key=PEM&user=NAME&password_file=PATH]"
)


class Daemon(Protocol):
    """What both roles look like from here."""

    async def start(self, sock: Any = None) -> None: ...

    async def stop(self) -> None: ...


def daemon(_: Context, argv: list[str]) -> int:
    """`daemon run ROLE`: in the foreground, until SIGTERM. SIGUSR1 makes it say where each of its
    threads is, also when none of them would answer."""
    if sys.__stderr__ is not None:
        faulthandler.register(signal.SIGUSR1, file=sys.__stderr__)
    options = _parser().parse_args(argv)
    settings = _settings(options)
    log = RealLog(
        form=Format(options.log_format),
        level=Level[options.log_level.upper()],
        path=options.log or "",
    )
    world = RealWorld(log)
    try:
        run_role = _run_mgm if options.role == "mgm" else _run_fst
        run_loop(run_role(world, options, settings))
    finally:
        world.shutdown()
    return 0


def _parser() -> argparse.ArgumentParser:
    top = parser("daemon", "Run one of thesan's daemons in the foreground.")
    verbs = top.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="run an MGM or an FST")
    roles = run.add_subparsers(dest="role", required=True)
    for role, text in (("mgm", "management server"), ("fst", "file storage server")):
        of_role = roles.add_parser(role, help=text, description=f"Run a {text}.")
        of_role.add_argument("--config", type=Path, help=f"TOML file; its [{role}] table is read")
        of_role.add_argument("--address", help="host:port to listen on and to be known by")
        of_role.add_argument("--keytab", type=Path, help="shared keytab, mode 0600 (needed)")
        of_role.add_argument("--geotag", help="place, outermost first: site::room::rack")
        of_role.add_argument("--listen-fd", type=int, help="listening socket of a supervisor")
        of_role.add_argument("--log", help="log file; standard error by default")
        of_role.add_argument("--log-format", choices=[form.value for form in Format], default="eos")
        of_role.add_argument(
            "--log-level", choices=["error", "warning", "info", "debug"], default="info"
        )
        if role == "mgm":
            of_role.add_argument("--data", type=Path, help="directory of the store (needed)")
            of_role.add_argument("--journal", help=JOURNAL_HELP)
            of_role.add_argument("--instance", help="name of the instance")
            of_role.add_argument("--members", help="host:port of every MGM, comma separated")
            of_role.add_argument(
                "--failover",
                choices=list(FAILOVER_SECONDS),
                help="how fast a lost master is noticed",
            )
            of_role.add_argument(
                "--trust-user",
                type=int,
                action="append",
                metavar="UID",
                help="at the very first start: this user of this machine is root of the instance",
            )
        else:
            of_role.add_argument("--mgm", help="root://HOST:PORT[,HOST:PORT...] of the MGMs")
            of_role.add_argument(
                "--fs", action="append", metavar="PATH[:SPACE]", help="directory to offer"
            )
    return top


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of a role: the file's table, then what the command line says."""
    settings: dict[str, Any] = {}
    if options.config:
        try:
            document = tomllib.loads(options.config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{options.config}: {error}") from error
        table = document.get(options.role, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{options.config}: [{options.role}] is not a table")
        settings.update(table)
        _take_places(options, settings)
    _check_needed(options)
    if options.address:
        host, _, port = options.address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"--address {options.address!r} is not host:port")
        settings.update(host=host.strip("[]"), port=int(port), advertise=options.address)
    if options.geotag is not None:
        settings["geotag"] = options.geotag
    settings["keytab"] = format_keytab(read_keytab(options.keytab)).decode("ascii")
    if options.role == "mgm":
        if options.instance:
            settings["instance"] = options.instance
        if options.members:
            settings["mgms"] = options.members.split(",")
        if options.trust_user:
            settings["trust_users"] = options.trust_user
        if options.failover:
            settings["failover"] = options.failover
        settings["journal"] = options.journal or f"sqlite:{options.data}/journal.db"
    else:
        if options.mgm:
            from thesan.roles.client.url import parse_url

            settings["mgms"] = [str(endpoint) for endpoint in parse_url(options.mgm).endpoints]
        if options.fs:
            settings["filesystems"] = options.fs
    return settings


_PLACES: Final = ("address", "keytab", "log", "data", "journal")
"""What the file may say in the place of a command line option."""


def _take_places(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Paths and addresses of the file, unless the command line says them. Relative paths begin at
    the file's directory (where a link leads to), so that a directory can be moved whole."""
    folder = options.config.resolve().parent
    for name in _PLACES:
        value = settings.pop(name, None)
        if value is None or getattr(options, name, None):
            continue
        if not isinstance(value, str):
            raise ConfigError(f"{options.config}: {name} is not a text")
        match name:
            case "keytab" | "data":
                setattr(options, name, folder / value)
            case "log":
                options.log = str(folder / value)
            case "journal" if value.startswith("sqlite:"):
                options.journal = f"sqlite:{folder / value.removeprefix('sqlite:')}"
            case _:
                setattr(options, name, value)


def _check_needed(options: argparse.Namespace) -> None:
    needed = ("keytab", "data") if options.role == "mgm" else ("keytab",)
    missing = [name for name in needed if getattr(options, name) is None]
    if missing:
        where = f" (or {missing[0]} = ... in [{options.role}] of the --config file)"
        raise ConfigError(f"say --{' and --'.join(missing)}{where}")


async def _run_mgm(world: RealWorld, options: argparse.Namespace, settings: dict[str, Any]) -> None:
    from thesan.roles.mgm.config import parse_settings
    from thesan.roles.mgm.data import MgmData
    from thesan.roles.mgm.service import Mgm
    from thesan.worlds.real.engines import open_engine
    from thesan.worlds.real.pacemaker import ThreadPacemaker
    from thesan.worlds.real.rocks_home import RocksHome

    config = parse_settings(settings)
    try:
        options.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data directory {options.data}: {error.strerror}") from error
    engine = await open_engine(
        config.journal, lambda text: world.log.warning("journal", advice=text)
    )
    try:
        home, disk = RocksHome(options.data), world.disk(str(options.data))
        data = MgmData(world, home, disk, engine, keep=config.keep)
        await data.open()
        try:
            opener = partial(open_engine, config.journal, is_alone=True)
            pacemaker = ThreadPacemaker(opener, world.clock)
            mgm = Mgm(world, config, data.engine, data.store, data.flush, pacemaker, data)
            await _serve(world, mgm, options.listen_fd)
        finally:
            await data.close()
    finally:
        await engine.close()


async def _run_fst(world: RealWorld, options: argparse.Namespace, settings: dict[str, Any]) -> None:
    from thesan.roles.fst.config import parse_settings
    from thesan.roles.fst.service import Fst

    await _serve(world, Fst(parse_settings(settings), world), options.listen_fd)


async def _serve(world: RealWorld, role: Daemon, listen_fd: int | None) -> None:
    """Start, wait for SIGTERM or SIGINT, stop."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.set_exception_handler(lambda _, context: _report(world, context))
    listener = None
    if listen_fd is not None:
        listener = socket.socket(fileno=listen_fd)
        listener.setblocking(False)
        find_dead_peers(listener)
    try:
        await role.start(listener)
    except OSError as error:
        raise ConfigError(f"can't listen: {error.strerror}") from error
    freeze()
    try:
        await stopping.wait()
    finally:
        await role.stop()


def _report(world: RealWorld, context: dict[str, Any]) -> None:
    """What the event loop could not give to anybody: logged with its cause, never lost."""
    error = context.get("exception")
    where = ""
    if error is not None and error.__traceback__ is not None:
        frame = error.__traceback__
        while frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
    world.log.error("unhandled", message=context.get("message", ""), error=repr(error), at=where)
