"""`thesan engine`, as an operator types it."""

import asyncio
import errno
import json

import pytest

from thesan.cli.main import main
from thesan.core.journal.entry import encode
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Owner
from thesan.worlds.real import migration
from thesan.worlds.real.engines import open_engine

A = Owner("host1", Epoch(4), "host1:1094", 11)


def fill(spec: str) -> None:
    async def story() -> None:
        engine = await open_engine(spec)
        assert await engine.take_over(None, A)
        await engine.append(A, Seq(1), encode(A.epoch, Seq(1), 0, [b"op"]))
        await engine.close()

    asyncio.run(story())


def test_status_of_a_file(tmp_path, capsys, monkeypatch):
    spec = f"sqlite:{tmp_path}/journal.db"
    assert main(["engine", "status", spec]) == errno.EINVAL
    assert "does not exist" in capsys.readouterr().err
    fill(spec)
    assert main(["-j", "engine", "status", spec]) == 0
    (found,) = json.loads(capsys.readouterr().out)["result"]
    assert (found["engine"], found["last"], found["owner"], found["epoch"]) == (
        "sqlite",
        1,
        "host1",
        4,
    )
    monkeypatch.setenv("THESAN_JOURNAL", spec)
    assert main(["engine", "status"]) == 0
    assert "host1" in capsys.readouterr().out
    monkeypatch.delenv("THESAN_JOURNAL")
    assert main(["engine", "status"]) == errno.EINVAL
    assert "THESAN_JOURNAL" in capsys.readouterr().err


def test_status_of_an_etcd(etcd, capsys):
    spec = f"{etcd.spec}/cli"
    fill(spec)
    assert main(["engine", "status", spec]) == 0
    text = capsys.readouterr().out
    for word in ("host1", "leader", "follower", "etcd3", *etcd.clients):
        assert word in text
    assert main(["-j", "engine", "status", spec]) == 0
    journal, *members = json.loads(capsys.readouterr().out)["result"]
    assert journal["healthy"]
    assert len(members) == 3


def test_status_of_an_etcd_that_is_down(capsys):
    assert main(["engine", "status", "etcd:127.0.0.1:1"]) == errno.EIO
    assert "down" in capsys.readouterr().out


def test_recover(etcd, tmp_path, capsys):
    spec = f"{etcd.spec}/recover"
    fill(spec)
    assert main(["-j", "engine", "recover", "--dry-run", spec]) == 0
    steps = json.loads(capsys.readouterr().out)["result"]
    assert [step["step"] for step in steps] == [
        "compact",
        "defragment",
        "defragment",
        "move-leader",
        "defragment",
    ]
    assert not any(step["done"] for step in steps)
    fill(f"sqlite:{tmp_path}/journal.db")
    assert main(["engine", "recover", f"sqlite:{tmp_path}/journal.db"]) == errno.EINVAL
    assert "quota" in capsys.readouterr().err


def test_migrate(etcd, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(migration.migrate, "__defaults__", (0.02,))
    source, target = f"sqlite:{tmp_path}/journal.db", f"{etcd.spec}/cli-migrated"
    fill(source)
    assert main(["-j", "engine", "migrate", source, target]) == 0
    (moved,) = json.loads(capsys.readouterr().out)["result"]
    assert (moved["first"], moved["last"], moved["epoch"]) == (1, 1, 4)
    fill(f"sqlite:{tmp_path}/other.db")
    assert main(["engine", "migrate", f"sqlite:{tmp_path}/other.db", target]) != 0
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["migrate"], ["polish"]])
def test_usage(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["engine", *argv])
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err
