"""Leaving a handle that was only read."""

from thesan.core.wire import requests as rq
from thesan.roles.client.place import Place, close_quietly


def test_a_handle_is_closed_and_its_failure_is_of_no_interest(cluster_run, faults):
    hang_up, refuse = faults

    async def test(cluster):
        cluster.put("/f", b"data")
        fs = cluster.connect()
        file = await fs.open("/f")
        place = Place(file.endpoint, fs.router.pool.find(file.endpoint), 0, pages=True)
        fst = next(fst for fst in cluster.fsts if fst.endpoint == file.endpoint)
        for fault in (refuse(9), hang_up):
            fst.fail(rq.Close, fault)
            await close_quietly(place, 1.0)
        assert [request.fh for request in fst.requests(rq.Close)] == [0, 0]

    cluster_run(test)
