"""The steps of ops, where they have cases of their own: names of a hard-linked inode."""

import pytest

from thesan.core.namespace import edit, keys
from thesan.core.namespace.inode import Directory


@pytest.fixture
def linked(instance):
    """One file with three names in two directories; /a/f is the primary one."""
    instance.mkdir("/a")
    instance.mkdir("/b")
    instance.commit("/a/f")
    instance.link("/a/f", "/b/g")
    instance.link("/a/f", "/a/h")
    return instance


def test_all_names_are_one_object(linked) -> None:
    assert linked.at("/a/f") is linked.at("/b/g") is linked.at("/a/h")
    assert linked.at("/a/f").nlink == 3
    linked.check()


def test_links_are_found_before_and_after_they_are_stored(linked) -> None:
    tree, inode = linked.ns.tree, linked.at("/a/f")
    before = edit.first_links(tree, inode, 10)
    assert [keys.link_name(key)[1] for key in before] == ["f", "h", "g"]
    linked.settle()
    assert edit.first_links(tree, inode, 10) == before
    assert edit.first_links(tree, inode, 1) == before[:1]


@pytest.mark.parametrize(
    "order", [["/a/f", "/b/g", "/a/h"], ["/b/g", "/a/f", "/a/h"], ["/a/h", "/a/f", "/b/g"]]
)
@pytest.mark.parametrize("reload", [False, True])
def test_names_go_in_any_order(linked, order: list[str], reload: bool) -> None:
    fid = linked.at("/a/f").fid
    for left, path in zip((2, 1, 0), order, strict=True):
        if reload:
            linked.reload()
        linked.unlink(path)
        linked.check()
        inode = linked.ns.tree.inode(fid)
        if left:
            assert inode is not None
            assert inode.nlink == left
            assert linked.ns.tree.path(inode) in order
        else:
            assert inode is None


def test_the_primary_name_moves_to_another(linked) -> None:
    linked.unlink("/a/f")
    inode = linked.at("/b/g")
    assert linked.ns.tree.path(inode) == "/a/h"
    linked.unlink("/a/h")
    assert linked.ns.tree.path(inode) == "/b/g"
    assert linked.ns.tree.linked == {}


def test_directory_counts_follow(instance) -> None:
    instance.mkdir("/d")
    directory = instance.at("/d")
    assert isinstance(directory, Directory)
    instance.mkdir("/d/sub")
    instance.commit("/d/f")
    assert (directory.size, directory.nlink) == (2, 3)
    instance.rename("/d/sub", "/sub")
    assert (directory.size, directory.nlink) == (1, 2)
