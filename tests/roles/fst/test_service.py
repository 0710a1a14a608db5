"""End to end on loopback: files go in and come out."""

import os

from thesan.core.authority.capability import Op


def test_a_file_in_and_out(bench):
    data = os.urandom(3_000_001)

    async def body(b):
        client = await b.client()
        await client.put("/dir/file", b.cap(Op.CREATE, 7, "/dir/file"), data)
        (commit,) = b.mgm.commits
        (replica,) = commit.replicas
        assert (replica.fsid, replica.size) == (1, len(data))
        assert b.files() == (["00000007"], [])
        assert await client.get("/dir/file", b.cap(Op.READ, 7, "/dir/file")) == data

    bench(body)
