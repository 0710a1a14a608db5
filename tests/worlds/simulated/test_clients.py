"""The client library as actors use it, against a small calm instance."""

import pytest

from thesan.core.model.errors import OperationError
from thesan.worlds.simulated.cluster import Cluster, Shape
from thesan.worlds.simulated.contents import content_of


def test_every_call(loop):
    cluster = Cluster(loop, Shape(client_count=1))
    loop.run_until_complete(cluster.start())
    calls = cluster.calls("client1")
    data = content_of("x.1.70000")

    async def story():
        await calls.make_directory("/client1")
        await calls.put("/client1/a", data, exclusive=True)
        with pytest.raises(OperationError):
            await calls.put("/client1/a", b"", exclusive=True)
        await calls.update("/client1/a", 5, b"patch")
        assert await calls.get("/client1/a") == data[:5] + b"patch" + data[10:]
        await calls.put("/client1/a", b"new", exclusive=False)
        assert await calls.get("/client1/a") == b"new"
        with pytest.raises(OperationError):
            await calls.get_mark("/client1/a")
        await calls.set_mark("/client1/a", "blue")
        assert await calls.get_mark("/client1/a") == "blue"
        await calls.put_pieces("/client1/c", data, [50_000, 0, 20_000])
        assert await calls.get("/client1/c") == data
        await calls.symlink("a", "/client1/l")
        assert await calls.read_link("/client1/l") == "a"
        for name in "cl":
            await calls.remove(f"/client1/{name}")
        await calls.rename("/client1/a", "/client1/b")
        assert await calls.list("/client1") == ["b"]
        await calls.remove("/client1/b")
        await calls.remove_directory("/client1")
        assert await calls.list("/") == ["shared"]

    loop.run_until_complete(loop.start(cluster.client_process("client1"), story(), "story"))
    assert not loop.trace.failures
