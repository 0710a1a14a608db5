"""How a command reaches the instance."""

import asyncio
import errno

import pytest

from thesan.cli.connect import connect
from thesan.core.model.errors import OperationError


def test_a_bad_url_is_said_at_once():
    async def work():
        async with connect("http://h"):
            pass

    with pytest.raises(OperationError) as caught:
        asyncio.run(work())
    assert caught.value.errno == errno.EPROTONOSUPPORT


def test_nobody_there_is_told_after_the_patience(unused_port):
    async def work():
        async with connect(f"root://127.0.0.1:{unused_port}", patience_s=0.2) as fs:
            await fs.stat("/")

    with pytest.raises(OperationError, match="given up at the deadline") as caught:
        asyncio.run(work())
    assert caught.value.errno == errno.ETIMEDOUT


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan):
    async def work():
        async with connect(thesan.url, act_as=(4711, 4712)) as fs:
            assert await fs.is_dir("/")
            (record,) = (await fs.admin("whoami", "")).records
            return record["uid"], record["gid"]

    assert asyncio.run(work()) == (4711, 4712)
