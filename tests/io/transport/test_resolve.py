"""Names to addresses."""

import asyncio
import errno
import socket

import pytest

from thesan.core.model.errors import OperationError, Retry
from thesan.io.transport.resolve import addresses_of


def resolve(host, answer=None, seconds=10.0):
    async def main():
        loop = asyncio.get_running_loop()
        if answer is not None:
            loop.getaddrinfo = answer
        return await addresses_of(host, 1094, loop.time() + seconds)

    return asyncio.run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_needs_no_resolver(host):
    async def nobody(*_):
        raise AssertionError

    assert resolve(host, nobody) == [host]


def test_each_address_once_in_the_resolvers_order():
    async def answer(host, port):
        found = ["10.0.0.2", "10.0.0.1", "10.0.0.2"]
        return [(socket.AF_INET, kind, 0, "", (one, port)) for one in found for kind in (1, 2)]

    assert resolve("name", answer) == ["10.0.0.2", "10.0.0.1"]


def test_names_that_do_not_resolve():
    async def unknown(*_):
        raise OSError(-2, "Name or service not known")

    async def silent(*_):
        await asyncio.sleep(3600)

    for answer, text in ((unknown, "not known"), (silent, "in time")):
        with pytest.raises(OperationError, match=text) as caught:
            resolve("name", answer, 0.01)
        assert (caught.value.errno, caught.value.retry) == (errno.EHOSTUNREACH, Retry.ELSEWHERE)
