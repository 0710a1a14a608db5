"""Engines by name."""

import asyncio
import subprocess
import sys

import pytest

from thesan.core.model.errors import ConfigError, Unavailable
from thesan.worlds.real.engines import open_engine


@pytest.mark.parametrize(
    "spec", ["", "sqlite", "sqlite:", "etcd:", "etcd", "etcd:host", "redis:host:1", "/path"]
)
def test_what_names_nothing(spec):
    with pytest.raises(ConfigError):
        asyncio.run(open_engine(spec))


def test_a_file(tmp_path):
    async def story():
        engine = await open_engine(f"sqlite:{tmp_path}/journal.db")
        assert (await engine.status()).kind == "sqlite"
        await engine.close()

    asyncio.run(story())


def test_an_etcd_that_is_not_there_yet():
    async def story():
        engine = await open_engine("etcd:127.0.0.1:1/x")
        status = await engine.status()
        assert (status.kind, status.healthy) == ("etcd", False)
        with pytest.raises(Unavailable):
            await engine.observe()
        await engine.close()

    asyncio.run(story())


def test_who_names_a_file_does_not_pay_for_grpc(tmp_path):
    script = (
        "import asyncio, sys\n"
        "import thesan.cli.serve\n"
        "from thesan.worlds.real.engines import open_engine\n"
        "async def story():\n"
        f"    await (await open_engine('sqlite:{tmp_path}/journal.db')).close()\n"
        "asyncio.run(story())\n"
        "assert not {'grpc', 'google.protobuf'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
