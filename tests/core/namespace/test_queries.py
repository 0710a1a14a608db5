"""Lookups, listings and counts."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ROOT, Identity
from thesan.core.namespace import queries
from thesan.core.namespace.ops import SetAttributes

ALICE = Identity(1, 1, (1, 50), "alice")
BOB = Identity(2, 2, (2,), "bob")


@pytest.fixture
def tree(instance):
    instance.mkdir("/a", uid=1, gid=1)
    instance.mkdir("/a/b", uid=1, gid=1)
    instance.commit("/a/b/f", uid=1, gid=1, size=10)
    instance.commit("/a/é", size=20)
    instance.symlink("b/f", "/a/rel")
    instance.symlink("/a/b", "/abs")
    instance.symlink("../../a/./b//", "/a/b/up")
    instance.symlink("loop", "/loop")
    instance.symlink("nowhere", "/dangling")
    return instance


def _refused(number: int, call) -> None:
    with pytest.raises(OperationError) as caught:
        call()
    assert errno.errorcode[caught.value.errno] == errno.errorcode[number]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", ""),
        ("//", ""),
        ("/a", "a"),
        ("/a/", "a"),
        ("/./a//b/f", "f"),
        ("/a/é", "é"),
        ("/a/rel", "f"),
        ("/abs/f", "f"),
        ("/abs/", "b"),
        ("/a/b/up/f", "f"),
        ("/abs/up/up/f", "f"),
    ],
)
def test_lookup(tree, path: str, name: str, cached: bool) -> None:
    if not cached:
        tree.reload()
    for who in (ROOT, ALICE, BOB):
        assert queries.lookup(tree.ns, path, who).name == name


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("", errno.EINVAL),
        ("a", errno.EINVAL),
        ("/a/../a", errno.EINVAL),
        ("/a\0", errno.EINVAL),
        ("/x", errno.ENOENT),
        ("/x/y", errno.ENOENT),
        ("/a/b/f/g", errno.ENOTDIR),
        ("/a/rel/g", errno.ENOTDIR),
        ("/loop", errno.ELOOP),
        ("/loop/x", errno.ELOOP),
        ("/dangling", errno.ENOENT),
        ("/" + "n" * 256, errno.ENAMETOOLONG),
        ("/x" * 300, errno.ENAMETOOLONG),
    ],
)
def test_lookup_of_what_is_not(tree, path: str, number: int) -> None:
    for _ in range(2):
        _refused(number, lambda: queries.lookup(tree.ns, path, ROOT))
        tree.reload()


def test_the_last_link_is_followed_only_if_asked(tree) -> None:
    assert queries.lookup(tree.ns, "/loop", ROOT, follow=False).target == "loop"
    assert queries.lookup(tree.ns, "/abs", ROOT, follow=False).target == "/a/b"
    assert queries.lookup(tree.ns, "/abs/up", ROOT, follow=False).target == "../../a/./b//"


def test_dots_in_a_link_never_lead_above_the_root(tree) -> None:
    tree.symlink("../../../../../a/b", "/a/b/far")
    assert queries.lookup(tree.ns, "/a/b/far/f", ROOT).name == "f"


@given(st.text(st.sampled_from("ab./éf\0"), max_size=12))
def test_no_path_does_anything_but_find_or_refuse(path: str) -> None:
    from thesan.core.namespace.state import Namespace
    from thesan.worlds.simulated.memory_store import MemoryStore

    ns = Namespace(MemoryStore())
    try:
        inode = queries.lookup(ns, path, BOB)
    except OperationError:
        return
    assert inode is ns.tree.root


def test_search_permission_on_every_directory_of_the_way(tree) -> None:
    closed = tree.at("/a").fid
    tree.apply(SetAttributes(closed, 5, mode=0o700))
    for _ in range(2):
        assert queries.lookup(tree.ns, "/a/b/f", ALICE).name == "f"
        assert queries.lookup(tree.ns, "/a/b/f", ROOT).name == "f"
        assert queries.lookup(tree.ns, "/a", BOB).name == "a"
        for path in ("/a/b/f", "/a/x", "/abs/f", "/a/rel"):
            _refused(errno.EACCES, lambda path=path: queries.lookup(tree.ns, path, BOB))
        tree.reload()
    tree.xattr("/a", "sys.acl", b"u:2:x")
    assert queries.lookup(tree.ns, "/a/b/f", BOB).name == "f"


def test_resolve_gives_the_directory_and_a_name_that_may_be_new(tree) -> None:
    parent, name = queries.resolve(tree.ns, "/abs/new", ROOT)
    assert (tree.ns.tree.path(parent), name) == ("/a/b", "new")
    assert queries.resolve(tree.ns, "/a//b/", ROOT)[1] == "b"
    for path, number in (
        ("/", errno.EBUSY),
        ("", errno.EINVAL),
        ("new", errno.EINVAL),
        ("a/new", errno.EINVAL),
        ("/a/..", errno.EINVAL),
        ("/a/../new", errno.EINVAL),
        ("/a" + "/b" * 256, errno.ENAMETOOLONG),
        ("/a/" + "é" * 2050 + "/x", errno.ENAMETOOLONG),
        ("/a/b/f/x", errno.ENOTDIR),
        ("/x/y", errno.ENOENT),
        ("/" + "é" * 128, errno.ENAMETOOLONG),
    ):
        _refused(number, lambda path=path: queries.resolve(tree.ns, path, ROOT))


def test_by_fid(tree) -> None:
    fid = tree.at("/a/b/f").fid
    tree.reload()
    assert queries.path_of(tree.ns, fid) == "/a/b/f"
    assert queries.path_of(tree.ns, 1) == "/"
    assert queries.path_of(tree.ns, 9999) is None
    inode = queries.inode_of(tree.ns, fid)
    assert inode is not None
    assert queries.parent_of(tree.ns, inode).name == "b"
    assert queries.parent_of(tree.ns, tree.at("/")).fid == 1


def test_rights_of_a_file_hold_its_directorys_acl(tree) -> None:
    inode = tree.at("/a/b/f")
    assert queries.rights(tree.ns, inode, BOB) == 4
    tree.xattr("/a/b", "sys.acl", b"u:2:rwx")
    assert queries.rights(tree.ns, inode, BOB) == 6


# -- listing -------------------------------------------------------------------------------------
def _list(ns, directory, limit: int) -> list[str]:
    names: list[str] = []
    after: str | None = ""
    while after is not None:
        page = queries.list_page(ns, directory, after, limit)
        names += [name for name, _ in page.entries]
        assert all(inode.name == name for name, inode in page.entries)
        alone = queries.list_names(ns, directory, after, limit)
        assert alone == ([name for name, _ in page.entries], page.after)
        after = page.after
    return names


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_cover_everything_once(instance, limit: int) -> None:
    instance.mkdir("/d")
    names = sorted(["b", "a", "é", "zz", "z", "10", "9"])
    for name in names:
        instance.commit(f"/d/{name}")
    assert _list(instance.ns, instance.at("/d"), limit) == names
    instance.reload()
    assert _list(instance.ns, instance.at("/d"), limit) == names
    instance.unlink("/d/a")
    instance.commit("/d/new")
    instance.ns.evict(100)
    wanted = sorted([*names, "new"])
    wanted.remove("a")
    assert _list(instance.ns, instance.at("/d"), limit) == wanted
    instance.check()


def test_an_empty_directory_is_one_empty_page(instance) -> None:
    instance.mkdir("/d")
    assert queries.list_page(instance.ns, instance.at("/d")).entries == []
    instance.reload()
    page = queries.list_page(instance.ns, instance.at("/d"))
    assert (page.entries, page.after) == ([], None)


def test_a_small_directory_is_complete_after_one_listing(instance) -> None:
    instance.mkdir("/d")
    instance.commit("/d/f")
    instance.reload()
    directory = instance.at("/d")
    assert not directory.complete
    _list(instance.ns, directory, 10)
    assert directory.complete
    instance.check()


def test_large_directories_are_listed_from_the_store(instance, monkeypatch) -> None:
    monkeypatch.setattr(queries, "LIST_SORTED_ENTRIES_MAX", 3)
    instance.mkdir("/d")
    for number in range(10):
        instance.commit(f"/d/{number}")
        if number == 5:
            instance.settle()
    assert instance.at("/d").complete
    assert _list(instance.ns, instance.at("/d"), 4) == list("0123456789")


def test_an_old_inode_is_no_trap(instance) -> None:
    """The caller kept a directory across an await, and it was evicted meanwhile."""
    instance.mkdir("/d")
    instance.commit("/d/f")
    old = instance.at("/d")
    for _ in range(4):
        instance.ns.evict(100)
    assert [name for name, _ in queries.list_page(instance.ns, old).entries] == ["f"]
    assert instance.at("/d") is not old
    instance.check()


def test_a_file_is_not_listed(tree) -> None:
    _refused(errno.ENOTDIR, lambda: queries.list_page(tree.ns, tree.at("/a/b/f")))
    _refused(errno.ENOTDIR, lambda: queries.list_names(tree.ns, tree.at("/a/b/f")))


def test_find_goes_directory_by_directory(tree) -> None:
    found = [path for page in queries.find(tree.ns, tree.at("/"), ROOT) for path, _ in page]
    assert found == [
        "/a",
        "/abs",
        "/dangling",
        "/loop",
        "/a/b",
        "/a/rel",
        "/a/é",
        "/a/b/f",
        "/a/b/up",
    ]
    found = [path for page in queries.find(tree.ns, tree.at("/a"), ROOT, 1) for path, _ in page]
    assert found == ["/a/b", "/a/rel", "/a/é"]


def test_find_skips_what_the_caller_may_not_read(tree) -> None:
    tree.apply(SetAttributes(tree.at("/a/b").fid, 5, mode=0o700))
    found = [path for page in queries.find(tree.ns, tree.at("/a"), BOB) for path, _ in page]
    assert found == ["/a/b", "/a/rel", "/a/é"]


def test_find_stands_evictions_and_removals_between_pages(make_instance) -> None:
    instance = make_instance(cache_entries_max=3)
    for number in range(6):
        instance.mkdir(f"/d{number}")
        instance.commit(f"/d{number}/f")
    instance.settle()
    walk = queries.find(instance.ns, instance.at("/"), ROOT)
    found = [path for path, _ in next(walk)]
    instance.unlink("/d5/f")
    instance.apply_all([])
    instance.ns.evict(100)
    for page in walk:
        found += [path for path, _ in page]
        instance.check()
    assert found[6:] == [f"/d{number}/f" for number in range(5)]


def test_du_counts_hard_links_once(tree) -> None:
    tree.link("/a/b/f", "/a/f2")
    *_, usage = queries.du(tree.ns, tree.at("/a"), ROOT)
    assert (usage.files, usage.directories, usage.symlinks) == (2, 1, 2)
    assert (usage.logical_bytes, usage.physical_bytes) == (30, 60)


def test_counters(tree) -> None:
    assert queries.counters(tree.ns) == queries.Counters(2, 3, 5, 30, 60, 0)
    assert queries.fs_counters(tree.ns, 2) == queries.FsCounters(2, 30, 0)
    assert queries.fs_counters(tree.ns, 9) == queries.FsCounters(0, 0, 0)


def test_replicas_in_pages_and_committed_only(instance) -> None:
    fids = [instance.commit(f"/f{number}", locations=(7,)) for number in range(5)]
    assert queries.replicas_on(instance.ns, 7) == []
    assert queries.has_replica(instance.ns, 7, fids[0])
    instance.settle()
    assert queries.replicas_on(instance.ns, 7) == fids
    assert queries.replicas_on(instance.ns, 7, after=fids[1], limit=2) == fids[2:4]
    assert queries.replicas_on(instance.ns, 8) == []
    assert not queries.has_replica(instance.ns, 8, fids[0])


def test_quota_node_of_a_file_is_none(tree) -> None:
    assert queries.quota_node_of(tree.ns, tree.at("/a/b/f")) == 0
