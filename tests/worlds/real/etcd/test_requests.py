"""Requests mean to a real etcd what their names say."""

import pytest

from thesan.worlds.real.etcd import requests
from thesan.worlds.real.etcd.client import Client
from thesan.worlds.real.etcd.endpoint import TXN


@pytest.mark.parametrize("is_there", [False, True])
def test_compares(play, spec, is_there):
    key = spec.prefix.encode() + b"/key"
    end = key + b"0"

    async def story():
        client = Client(spec)
        try:
            await client.start()

            async def txn(compare, success=(), failure=()):
                request = requests.txn(compare, list(success), list(failure))
                return (await client.call(TXN, request)).response

            if is_there:
                assert (await txn([], [requests.put(key, b"v")])).succeeded
            holds = {
                "is_absent": [requests.is_absent(key)],
                "range_absent": [requests.is_absent(key, end)],
                "is_there": [requests.is_there(key)],
                "is_value": [requests.is_value(key, b"v")],
                "other_value": [requests.is_value(key, b"w")],
                "empty_value": [requests.is_value(key, b"")],
                "both": [requests.is_there(key), requests.is_value(key, b"w")],
            }
            found = {name: (await txn(compare)).succeeded for name, compare in holds.items()}
            assert found == {
                "is_absent": not is_there,
                "range_absent": not is_there,
                "is_there": is_there,
                "is_value": is_there,
                "other_value": False,
                "empty_value": False,
                "both": False,
            }
            response = await txn([], [requests.get(key), requests.get(key, end, limit=1)])
            assert requests.value_of(response, 0) == (b"v" if is_there else None)
            assert len(requests.found(response, 1)) == is_there
            response = await txn([], [requests.get(key, end, keys_only=True)])
            assert requests.value_of(response, 0) == (b"" if is_there else None)
            await txn([], [requests.delete(key)])
            assert requests.value_of(await txn([], [requests.get(key)]), 0) is None
        finally:
            await client.close()

    play(story)
