"""POSIX rename, case by case."""

import errno

import pytest

from thesan.core.namespace import queries
from thesan.core.namespace.ops import QuotaSet


@pytest.fixture
def tree(instance):
    """/a/b/f, /a/g, /c (empty), /l -> /a/g"""
    for path in ("/a", "/a/b", "/c"):
        instance.mkdir(path)
    instance.commit("/a/b/f", size=10)
    instance.commit("/a/g", size=20)
    instance.symlink("/a/g", "/l")
    return instance


def test_a_file_moves(tree) -> None:
    fid = tree.at("/a/b/f").fid
    assert tree.rename("/a/b/f", "/c/new").fid == fid
    tree.refused(errno.ENOENT, lambda: tree.at("/a/b/f"))
    moved = tree.at("/c/new")
    assert (moved.fid, moved.ctime_ns, moved.name) == (fid, tree.time, "new")
    assert tree.at("/a/b").mtime_ns == tree.at("/c").mtime_ns == tree.time
    tree.check()
    tree.reload()
    assert tree.at("/c/new").fid == fid
    tree.check()


def test_a_directory_moves_with_all_below(tree) -> None:
    tree.rename("/a", "/c/a")
    assert tree.at("/c/a/b/f").size == 10
    assert queries.path_of(tree.ns, tree.at("/c/a/b/f").fid) == "/c/a/b/f"
    assert tree.ns.tree_tag == tree.ns.op_count, "answers about /c/a/b/f depend on this op"
    tree.check()


def test_a_file_takes_the_place_of_another(tree) -> None:
    victim = tree.at("/a/g").fid
    result = tree.rename("/a/b/f", "/a/g")
    assert result.replaced == victim
    assert tree.at("/a/g").size == 10
    tree.settle()
    assert victim in queries.deletions_on(tree.ns, 1)
    tree.check()


def test_no_replace_refuses(tree) -> None:
    tree.refused(errno.EEXIST, lambda: tree.rename("/a/b/f", "/a/g", no_replace=True))
    tree.rename("/a/b/f", "/a/h", no_replace=True)


def test_an_empty_directory_may_be_replaced_by_a_directory_only(tree) -> None:
    tree.refused(errno.EISDIR, lambda: tree.rename("/a/g", "/c"))
    tree.refused(errno.ENOTDIR, lambda: tree.rename("/c", "/a/g"))
    tree.refused(errno.ENOTDIR, lambda: tree.rename("/c", "/l"))
    tree.refused(errno.ENOTEMPTY, lambda: tree.rename("/c", "/a"))
    tree.rename("/a/b", "/c")
    assert tree.at("/c/f").size == 10
    tree.check()


def test_not_below_itself(tree) -> None:
    tree.refused(errno.EINVAL, lambda: tree.rename("/a", "/a/b/x"))
    tree.refused(errno.EINVAL, lambda: tree.rename("/a", "/a/x"))
    tree.refused(errno.ENOTEMPTY, lambda: tree.rename("/a/b", "/a"))


def test_to_itself_and_to_another_name_of_itself_nothing_happens(tree) -> None:
    before = tree.at("/a/g").ctime_ns
    tree.rename("/a/g", "/a/g")
    tree.link("/a/g", "/g2")
    linked = tree.at("/g2").ctime_ns
    tree.rename("/a/g", "/g2")
    assert tree.at("/a/g") is tree.at("/g2")
    assert before < linked == tree.at("/g2").ctime_ns
    tree.rename("/a", "/a")
    tree.check()


def test_a_link_moves_itself_and_is_replaced_itself(tree) -> None:
    tree.rename("/l", "/c/l")
    assert tree.at("/c/l").target == "/a/g"
    tree.rename("/a/b/f", "/c/l")
    assert tree.at("/c/l").size == 10
    assert tree.at("/a/g").size == 20
    tree.check()


@pytest.mark.parametrize("primary", [True, False])
def test_any_name_of_a_hard_linked_file_moves(tree, primary: bool) -> None:
    tree.link("/a/g", "/c/g2")
    tree.reload()
    tree.rename("/a/g" if primary else "/c/g2", "/a/b/moved")
    assert tree.at("/a/b/moved").nlink == 2
    tree.check()
    tree.reload()
    tree.check()
    tree.unlink("/a/b/moved")
    assert tree.at("/c/g2" if primary else "/a/g").nlink == 1
    tree.check()


def test_the_victim_may_have_other_names(tree) -> None:
    tree.link("/a/g", "/g2")
    assert tree.rename("/a/b/f", "/a/g").replaced == 0
    assert (tree.at("/g2").nlink, tree.at("/g2").size) == (1, 20)
    tree.check()


def test_what_is_not_there(tree) -> None:
    tree.refused(errno.ENOENT, lambda: tree.rename("/a/x", "/a/y"))
    tree.refused(errno.ENOTDIR, lambda: tree.rename("/a/g/x", "/a/y"))


def test_quota_nodes_are_devices_for_trees_not_for_files(tree) -> None:
    node = tree.apply(QuotaSet(tree.at("/c").fid, "u", 0, 10**6, None)).fid
    tree.rename("/a/g", "/c/g")
    used = queries.quota_lines(tree.ns, node)
    assert [(line.kind, line.physical_bytes, line.files) for line in used] == [
        ("g", 40, 1),
        ("p", 40, 1),
        ("u", 40, 1),
    ]
    tree.refused(errno.EXDEV, lambda: tree.rename("/a/b", "/c/b"))
    tree.mkdir("/empty")
    tree.rename("/empty", "/c/empty")
    tree.rename("/c", "/a/c")
    tree.check()
    tree.link("/a/b/f", "/a/f2")
    tree.refused(errno.EXDEV, lambda: tree.rename("/a/f2", "/a/c/f2"))
