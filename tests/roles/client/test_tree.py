"""Walks: order, depth, links, removal."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.wire import requests as rq
from thesan.roles.client.tree import child_of, find


def fill(cluster) -> list[str]:
    paths = [f"/t/d{n}/e{m}/f{k}" for n in range(4) for m in range(3) for k in range(5)]
    for path in reversed(paths):
        cluster.put(path, path.encode())
    return paths


def test_depth_first_in_order_of_names(cluster_run):
    async def test(cluster):
        fill(cluster)
        fs = cluster.connect()
        found = [entry.path async for entry in fs.find("/t")]
        assert found == sorted(path for path in cluster.names if path.startswith("/t/"))
        assert [e.path async for e in fs.find("/t", depth_max=1)] == [f"/t/d{n}" for n in range(4)]
        deep = [e.path async for e in fs.find("/", depth_max=2)]
        assert deep == ["/t", *(f"/t/d{n}" for n in range(4))]
        with pytest.raises(OperationError):
            _ = [entry async for entry in fs.find("/none")]

    cluster_run(test)


def test_links_are_not_followed(cluster_run):
    async def test(cluster):
        cluster.put("/t/a/f", b"")
        cluster.put("/elsewhere/g", b"")
        fs = cluster.connect()
        await fs.symlink("/t", "/t/a/loop")
        await fs.symlink("/elsewhere", "/t/out")
        found = {entry.path: entry async for entry in fs.find("/t")}
        assert list(found) == ["/t/a", "/t/a/f", "/t/a/loop", "/t/out"]
        assert found["/t/out"].link == "/elsewhere"
        assert not found["/t/out"].is_dir
        assert found["/t/a"].is_dir
        assert await fs.remove_tree("/t") == 5
        assert list(cluster.names) == ["/", "/elsewhere", "/elsewhere/g"]

    cluster_run(test)


def test_every_link_is_told_apart_when_asked_for(cluster_run):
    async def test(cluster):
        cluster.put("/elsewhere/g", b"")
        cluster.put("/t/f", b"")
        fs = cluster.connect()
        for target, name in (("/elsewhere/g", "file"), ("/none", "none"), ("/elsewhere", "dir")):
            await fs.symlink(target, f"/t/{name}")
        links = {entry.path: entry.link async for entry in find(fs, "/t", every_link=True)}
        assert links == {
            "/t/dir": "/elsewhere",
            "/t/f": None,
            "/t/file": "/elsewhere/g",
            "/t/none": "/none",
        }
        links = {entry.path: entry.link async for entry in find(fs, "/t")}
        assert links["/t/none"] == "/none"
        assert links["/t/file"] is None

    cluster_run(test)


def test_a_directory_that_is_pruned_or_may_not_be_listed(cluster_run, faults):
    _, refuse = faults

    async def test(cluster):
        fill(cluster)
        fs = cluster.connect()

        def deny(connection, request):
            return refuse(errno.EACCES)(connection, request) if request.path == "/t/d1" else "pass"

        cluster.mgm.fail(rq.DirList, deny, times=1000)
        failures = []
        seen = []
        async for entry in find(fs, "/t", failed=lambda *failure: failures.append(failure)):
            entry.pruned = entry.path == "/t/d0"
            seen.append(entry.path)
        assert [(path, error.errno) for path, error in failures] == [("/t/d1", errno.EACCES)]
        assert {path for path in seen if path[:5] in ("/t/d0", "/t/d1")} == {"/t/d0", "/t/d1"}
        assert "/t/d3/e2/f4" in seen

    cluster_run(test)


def test_remove_one_file_or_link(cluster_run):
    async def test(cluster):
        cluster.put("/d/f", b"")
        fs = cluster.connect()
        await fs.symlink("/d", "/l")
        assert await fs.remove_tree("/l") == 1
        assert await fs.remove_tree("/d/f") == 1
        assert list(cluster.names) == ["/", "/d"]
        for path, number in (("/", errno.EBUSY), ("/none", errno.ENOENT)):
            with pytest.raises(OperationError) as caught:
                await fs.remove_tree(path)
            assert caught.value.errno == number

    cluster_run(test)


def test_what_vanishes_meanwhile_is_no_error(cluster_run, faults):
    _, refuse = faults

    async def test(cluster):
        fill(cluster)
        fs = cluster.connect()
        cluster.mgm.fail(rq.Rm, refuse(errno.EISDIR), times=1)
        cluster.mgm.fail(rq.Rm, refuse(errno.ENOENT), times=2)
        walk = fs.find("/t")
        assert (await anext(walk)).path == "/t/d0"
        for path in [path for path in cluster.names if path.startswith("/t/d3")]:
            del cluster.names[path]
        rest = [entry.path async for entry in walk]
        assert "/t/d3" in rest
        assert not any(path.startswith("/t/d3/") for path in rest)

    cluster_run(test)


def test_an_error_in_the_middle_is_raised(cluster_run, faults):
    _, refuse = faults

    async def test(cluster):
        fill(cluster)
        fs = cluster.connect()
        cluster.mgm.fail(rq.DirList, refuse(errno.EACCES), times=1)
        with pytest.raises(OperationError):
            _ = [entry async for entry in fs.find("/t")]
        walk = fs.find("/t")
        await anext(walk)
        cluster.mgm.fail(rq.DirList, refuse(errno.EACCES), times=1000)
        with pytest.raises(OperationError) as caught:
            _ = [entry async for entry in walk]
        assert caught.value.errno == errno.EACCES

    cluster_run(test)


def test_child_of():
    assert child_of("/", "a") == "/a"
    assert child_of("/a", "b") == "/a/b"
