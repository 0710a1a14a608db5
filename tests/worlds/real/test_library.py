"""The library on this machine: whom it logs in as, where it connects."""

import asyncio
import getpass
import os
from pathlib import Path

import pytest

from thesan.core.authority.keytab import Key, format_keytab, make_keytab
from thesan.core.model.errors import ConfigError, OperationError
from thesan.core.model.identity import NOBODY
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_login, build_open
from thesan.core.wire.requests import Close, Open, Stat
from thesan.core.wire.server import MGM_SETTINGS
from thesan.io.transport.server import listen
from thesan.roles.client.url import Endpoint
from thesan.worlds.real import library
from thesan.worlds.real.entropy import RealEntropy


class OneFile:
    """A server with one empty file."""

    settings = MGM_SETTINGS

    def __init__(self) -> None:
        self.users: list[str] = []
        self.pids: list[int] = []
        self.opened: list[Open] = []

    def login(self, connection, request):
        self.users.append(request.username)
        self.pids.append(request.pid)
        connection.identity = NOBODY
        return responses.ok(request.sid, build_login(connection.session_id))

    def auth(self, connection, request):
        raise AssertionError

    def closed(self, connection):
        pass

    def handle(self, connection, request):
        match request:
            case Stat():
                return responses.ok(request.sid, b"1 0 2 0\0")
            case Open(path="/f"):
                self.opened.append(request)
                return responses.ok(request.sid, build_open(1))
            case Close():
                return responses.ok(request.sid)
            case _:
                raise OperationError(2, "no")


def run(test):
    async def main() -> None:
        server = OneFile()
        listener = await listen(server, "127.0.0.1", 0, entropy=RealEntropy(), bulk=None)
        await test(server, listener, f"root://127.0.0.1:{listener.port}")
        await listener.close()

    asyncio.run(main())


def test_connect(monkeypatch):
    async def test(server, listener, url):
        async with library.connect(url) as fs:
            assert await fs.is_dir("/")
        monkeypatch.setenv("THESAN_MGM", f"127.0.0.1:{listener.port}")
        async with library.connect(user="somebody") as fs:
            assert await fs.is_dir("/")
        async with library.connect(f"root://else@127.0.0.1:{listener.port}//") as fs:
            assert await fs.is_dir("/")
        assert server.users == [getpass.getuser()[:8], "somebody", "else"]
        assert server.pids == [os.getpid()] * 3

    run(test)


def test_open_file_owns_its_connections():
    async def test(server, listener, url):
        async with await library.open_file(f"{url}//f?k=v") as file:
            assert listener.connection_count == 1
            assert bytes(await file.read(0, 0)) == b""
        while listener.connection_count:
            await asyncio.sleep(0.001)
        assert server.opened[0].cgi == "k=v"
        with pytest.raises(OperationError):
            await library.open_file(f"{url}//none")
        while listener.connection_count:
            await asyncio.sleep(0.001)

    run(test)


def test_environment():
    port = {"THESAN_MGM": "a:1,b:2"}
    assert library.url_of("", port).endpoints == (Endpoint("a", 1), Endpoint("b", 2))
    both = {"THESAN_MGM": "a", "THESAN_MGM_URL": "root://c:5//x"}
    assert library.url_of("", both).endpoints == (Endpoint("c", 5),)
    assert library.url_of("root://d", both).endpoints == (Endpoint("d"),)
    with pytest.raises(ConfigError, match="THESAN_MGM_URL"):
        library.url_of("", {})


def test_login_settings(tmp_path: Path):
    login = library.login_settings("me")
    assert [method.name for method in login.methods] == ["unix", "host"]
    path = tmp_path / "keytab"
    path.write_bytes(format_keytab(make_keytab([Key(1, b"k" * 32, 1)])))
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 0600"):
        library.login_settings("me", str(path))
    path.chmod(0o600)
    login = library.login_settings("me", str(path))
    assert [method.name for method in login.methods] == ["thk", "unix", "host"]
    with pytest.raises(ConfigError, match="No such file"):
        library.login_settings("me", str(tmp_path / "none"))


def test_names_without_an_account(monkeypatch):
    def fail(*args):
        raise KeyError(args)

    monkeypatch.setattr(library.getpass, "getuser", fail)
    monkeypatch.setattr(library.grp, "getgrgid", fail)
    assert library.user_name() == str(os.getuid())
    assert library.group_name() == str(os.getgid())
