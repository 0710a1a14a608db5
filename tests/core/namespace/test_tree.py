"""What is loaded, kept and dropped."""

import pytest

from thesan.core.model.errors import StoreError
from thesan.core.model.identity import ROOT
from thesan.core.namespace import keys, queries, tree
from thesan.core.namespace.inode import Directory
from thesan.core.namespace.ops import QuotaRemove, QuotaSet
from thesan.core.namespace.state import Namespace
from thesan.core.namespace.tree import Tree
from thesan.worlds.simulated.memory_store import MemoryStore


def test_nothing_is_loaded_before_it_is_asked_for(instance) -> None:
    instance.mkdir("/d")
    for number in range(10):
        instance.commit(f"/d/f{number}")
    ns = instance.reload()
    assert ns.cached_count == 0
    assert instance.at("/d/f3").size == 100
    assert ns.cached_count == 2
    instance.check()


def test_by_fid_the_way_up_is_loaded_too(instance) -> None:
    for path in ("/a", "/a/b", "/a/b/c"):
        instance.mkdir(path)
    fid = instance.commit("/a/b/c/f")
    tree = instance.reload().tree
    inode = tree.inode(fid)
    assert inode is not None
    assert tree.path(inode) == "/a/b/c/f"
    assert tree.inode(fid) is inode
    assert tree.inode(999) is None
    assert tree.directory(fid) is None
    deepest = tree.directory(inode.parent)
    assert deepest is not None
    assert tree.path(deepest) == "/a/b/c"
    instance.check()


def test_an_absent_name_is_remembered_as_such_where_all_is_known(instance) -> None:
    instance.mkdir("/d")
    instance.commit("/d/f")
    tree = instance.ns.tree
    directory = instance.at("/d")
    assert isinstance(directory, Directory)
    assert directory.complete, "it was made empty and never evicted from"
    assert tree.child(directory, "x") is None


def test_eviction_drops_everything_and_loses_nothing(instance) -> None:
    for number in range(5):
        instance.mkdir(f"/d{number}")
        for name in "abc":
            instance.commit(f"/d{number}/{name}")
    instance.link("/d0/a", "/d1/linked")
    for _ in range(30):
        assert instance.ns.evict(3) <= 3
        instance.check()
    assert instance.ns.cached_count == 0
    assert instance.ns.tree.linked == {}
    assert list(instance.ns.tree.directories) == [1]
    assert instance.at("/d0/a") is instance.at("/d1/linked")
    assert instance.at("/d4/c").size == 100
    instance.check()


def test_what_was_used_lately_goes_last(instance) -> None:
    for name in ("cold", "hot"):
        instance.mkdir(f"/{name}")
        instance.commit(f"/{name}/f")
    for directory in instance.ns.tree.directories.values():
        directory.used = False
    instance.at("/hot/f")
    instance.ns.evict(1)
    hot, cold = instance.ns.tree.root.children["hot"], instance.ns.tree.root.children["cold"]
    assert hot.children
    assert not cold.children


def test_a_full_cache_stays_near_its_size(make_instance) -> None:
    instance = make_instance(cache_entries_max=50)
    instance.mkdir("/d")
    for number in range(400):
        instance.commit(f"/d/f{number:03}")
        assert instance.ns.cached_count <= 51
    assert instance.at("/d").size == 400
    instance.check()


def test_a_huge_directory_is_not_kept_whole(instance, monkeypatch) -> None:
    monkeypatch.setattr(tree, "DIRECTORY_CACHED_MAX", 100)
    instance.mkdir("/d")
    for number in range(250):
        instance.commit(f"/d/f{number:03}")
        assert len(instance.ns.tree.directories[2].children) <= 101
    instance.check()
    assert not instance.ns.tree.directories[2].complete
    assert instance.at("/d/f249").size == 100
    instance.settle()
    after = ""
    while after is not None:
        after = queries.list_page(instance.ns, instance.at("/d"), after, 20).after
        assert len(instance.ns.tree.directories[2].children) <= 101
    instance.check()
    names = [
        path for page in queries.find(instance.ns, instance.at("/d"), ROOT) for path, _ in page
    ]
    assert len(names) == 250


def test_what_is_loaded_from_a_pending_change_carries_a_pending_tag(instance) -> None:
    instance.commit("/f")
    instance.settle()
    instance.commit("/g")
    instance.ns.evict(10)
    assert instance.at("/f").seq == 0
    assert instance.at("/g").seq > instance.ns.committed_tag
    instance.settle()
    instance.ns.evict(10)
    assert instance.at("/g").seq <= instance.ns.committed_tag


def test_quota_node_is_the_nearest_above(instance) -> None:
    outer, inner = instance.mkdir("/q"), 0
    instance.mkdir("/q/a")
    inner = instance.mkdir("/q/a/b")
    tree = instance.ns.tree
    assert tree.quota_node(instance.at("/q/a/b")) == 0
    instance.apply(QuotaSet(outer, "u", 1, 5, None))
    instance.apply(QuotaSet(inner, "u", 1, 5, None))
    assert [tree.quota_node(instance.at(path)) for path in ("/", "/q", "/q/a", "/q/a/b")] == [
        0,
        outer,
        outer,
        inner,
    ]
    instance.apply(QuotaRemove(inner))
    assert tree.quota_node(instance.at("/q/a/b")) == outer


def test_a_store_that_is_none_of_ours_is_refused(instance) -> None:
    instance.commit("/f")
    instance.settle()
    for change, text in (
        ((keys.M_FORMAT, b"99"), "format"),
        ((keys.M_FORMAT, None), "format"),
        ((keys.M_APPLIED, None), "interrupted"),
        ((keys.inode(1), None), "root"),
        ((keys.M_FID, None), "limit"),
    ):
        store = MemoryStore(instance.store.scan(b"", b"\xff", 1000))
        store.write([change])
        with pytest.raises(StoreError, match=text):
            Tree(store)


def test_broken_references_are_told_not_followed(instance) -> None:
    instance.mkdir("/d")
    fid = instance.commit("/d/f")
    instance.xattr("/d/f", "user.a", b"1")
    instance.settle()
    for key in (keys.inode(fid), keys.xattrs(fid)):
        store = MemoryStore(instance.store.scan(b"", b"\xff", 1000))
        store.write([(key, None)])
        tree = Namespace(store).tree
        directory = tree.child(tree.root, "d")
        assert isinstance(directory, Directory)
        with pytest.raises(StoreError):
            tree.child(directory, "f")
