"""Fid range, configuration, quota nodes, remembered results."""

import errno

import pytest

from thesan.core.model.errors import StoreError
from thesan.core.namespace import apply_instance, keys, queries
from thesan.core.namespace.ops import (
    ConfigSet,
    MakeDirectory,
    QuotaRemove,
    QuotaSet,
    RememberResult,
    ReserveFids,
)
from thesan.core.namespace.queries import QuotaLine


def test_the_fid_range_only_grows(instance) -> None:
    limit = instance.ns.fid_limit
    for bad in (limit, limit - 1, 1 << 63):
        instance.refused(errno.EINVAL, lambda bad=bad: instance.apply(ReserveFids(bad)))
    instance.apply(ReserveFids(limit + 5))
    assert instance.reload().fid_limit == limit + 5


def test_configuration_is_kept_in_order(instance) -> None:
    for key in ("b", "a", "c"):
        instance.apply(ConfigSet("fs", key, key.encode()))
    instance.apply(ConfigSet("node", "a", b"other"))
    assert instance.apply(ConfigSet("fs", "x", None)).repeated
    instance.settle()
    instance.apply(ConfigSet("fs", "b", None))
    for _ in range(2):
        assert list(queries.config(instance.ns, "fs").items()) == [("a", b"a"), ("c", b"c")]
        assert dict(queries.config(instance.ns, "node")) == {"a": b"other"}
        assert queries.config(instance.ns, "none") == {}
        instance.reload()


def test_configuration_has_bounds(instance) -> None:
    for section, key in (("", "k"), ("s", ""), ("a\0b", "k"), ("s", "k\0")):
        op = ConfigSet(section, key, b"")
        instance.refused(errno.EINVAL, lambda op=op: instance.apply(op))
    instance.refused(errno.E2BIG, lambda: instance.apply(ConfigSet("s", "k", bytes(70000))))


@pytest.fixture
def quota(instance):
    """/q with files of uid 1 (100 B twice) and uid 2 (10 B once); /q/inner empty."""
    instance.mkdir("/q")
    instance.mkdir("/q/inner")
    instance.commit("/q/a", size=100, locations=(1, 2), uid=1, gid=7)
    instance.commit("/q/inner/b", size=10, locations=(1,), uid=2, gid=7)
    instance.symlink("a", "/q/l")
    return instance


def test_a_new_quota_node_counts_what_is_there(quota) -> None:
    node = quota.at("/q").fid
    quota.apply(QuotaSet(node, "u", 1, 1000, 5))
    quota.apply(QuotaSet(node, "p", 0, None, 9))
    assert queries.quota_nodes(quota.ns) == [node]
    assert queries.quota_lines(quota.ns, node) == [
        QuotaLine("g", 0, 0, 0, 1, None, None),
        QuotaLine("g", 7, 210, 110, 2, None, None),
        QuotaLine("p", 0, 210, 110, 3, None, 9),
        QuotaLine("u", 0, 0, 0, 1, None, None),
        QuotaLine("u", 1, 200, 100, 1, 1000, 5),
        QuotaLine("u", 2, 10, 10, 1, None, None),
    ]
    before = queries.quota_lines(quota.ns, node)
    quota.reload()
    assert queries.quota_lines(quota.ns, node) == before
    quota.check()


def test_an_inner_node_takes_its_share_and_gives_it_back(quota) -> None:
    outer, inner = quota.at("/q").fid, quota.at("/q/inner").fid
    quota.apply(QuotaSet(outer, "u", 1, 1000, None))
    whole = queries.quota_lines(quota.ns, outer)
    quota.apply(QuotaSet(inner, "u", 2, 5, None))
    assert QuotaLine("p", 0, 10, 10, 1, None, None) in queries.quota_lines(quota.ns, inner)
    assert QuotaLine("p", 0, 200, 100, 2, None, None) in queries.quota_lines(quota.ns, outer)
    quota.check()
    quota.apply(QuotaRemove(inner))
    assert queries.quota_lines(quota.ns, outer) == whole
    assert queries.quota_lines(quota.ns, inner) == []
    quota.refused(errno.ENODATA, lambda: quota.apply(QuotaRemove(inner)))
    quota.apply(QuotaRemove(outer))
    assert queries.counters(quota.ns).quota_nodes == 0
    assert queries.quota_nodes(quota.ns) == []
    quota.settle()
    assert quota.store.scan(b"NQ", b"NR", 10) == [], "usage of zero is not kept"
    quota.check()


def test_limits_go_one_by_one_and_the_node_stays(quota) -> None:
    node = quota.at("/q").fid
    quota.apply(QuotaSet(node, "u", 1, 0, 0))
    quota.apply(QuotaSet(node, "u", 1, None, None))
    assert [line for line in queries.quota_lines(quota.ns, node) if line.bytes_max == 0] == []
    assert quota.ns.tree.quota_node(quota.at("/q/inner")) == node


def test_what_can_not_be_a_quota(quota) -> None:
    node, file = quota.at("/q").fid, quota.at("/q/a").fid
    for number, op in (
        (errno.ENOENT, QuotaSet(999, "u", 1, 1, 1)),
        (errno.ENOTDIR, QuotaSet(file, "u", 1, 1, 1)),
        (errno.EINVAL, QuotaSet(node, "x", 1, 1, 1)),
        (errno.EINVAL, QuotaSet(node, "p", 1, 1, 1)),
        (errno.EINVAL, QuotaSet(node, "u", -1, 1, 1)),
        (errno.EINVAL, QuotaSet(node, "u", 1, -1, 1)),
    ):
        quota.refused(number, lambda op=op: quota.apply(op))
    quota.link("/q/a", "/outside")
    quota.refused(errno.EXDEV, lambda: quota.apply(QuotaSet(node, "u", 1, 1, 1)))


def test_a_big_tree_does_not_become_a_node_in_one_op(quota, monkeypatch) -> None:
    monkeypatch.setattr(apply_instance, "QUOTA_RECOUNT_ENTRIES_MAX", 3)
    op = QuotaSet(quota.at("/q").fid, "u", 1, 1, 1)
    quota.refused(errno.EFBIG, lambda: quota.apply(op))
    monkeypatch.setattr(apply_instance, "QUOTA_RECOUNT_ENTRIES_MAX", 4)
    quota.reload()
    quota.apply(op)
    quota.check()


def test_too_many_accounts(quota, monkeypatch) -> None:
    monkeypatch.setattr(apply_instance, "QUOTA_ACCOUNTS_MAX", 2)
    node = quota.at("/q").fid
    for uid in (1, 2):
        quota.apply(QuotaSet(node, "u", uid, 1, 1))
    quota.refused(errno.ENOSPC, lambda: quota.apply(QuotaSet(node, "u", 3, 1, 1)))


def test_a_result_is_remembered_and_survives(instance) -> None:
    op = MakeDirectory(1, "d", instance.fid(), 0o755, 0, 0, 5, b"client-1")
    first = instance.apply(op)
    for _ in range(2):
        again = instance.apply(MakeDirectory(1, "d", instance.fid(), 0o755, 0, 0, 6, b"client-1"))
        assert (again.fid, again.repeated) == (first.fid, True)
        assert instance.ns.remembered(b"client-1").fid == first.fid
        instance.reload()
    assert instance.ns.remembered(b"other") is None
    assert instance.ns.remembered(b"") is None
    instance.check()


def test_an_answer_of_its_own(instance) -> None:
    assert instance.apply(RememberResult(b"id", b"answer")).answer == b"answer"
    instance.reload()
    assert instance.ns.remembered(b"id").answer == b"answer"
    instance.refused(errno.EEXIST, lambda: instance.apply(RememberResult(b"id", b"x")))
    instance.refused(errno.EINVAL, lambda: instance.apply(RememberResult(b"", b"x")))
    instance.refused(errno.EINVAL, lambda: instance.apply(RememberResult(bytes(65), b"x")))


def test_an_error_is_not_remembered(instance) -> None:
    op = ConfigSet("s", "k\0", b"", b"id")
    instance.refused(errno.EINVAL, lambda: instance.apply(op))
    assert instance.ns.remembered(b"id") is None


def test_only_the_last_results_are_kept(instance, monkeypatch) -> None:
    monkeypatch.setattr(apply_instance, "RESULTS_KEPT_MAX", 3)
    for number in range(8):
        instance.apply(RememberResult(b"%d" % number, b"a"))
        instance.check()
        if number % 2:
            instance.reload()
    kept = [number for number in range(8) if instance.ns.remembered(b"%d" % number)]
    assert kept == [5, 6, 7]


def test_damaged_records_are_told(instance) -> None:
    node = instance.mkdir("/q")
    instance.apply(QuotaSet(node, "u", 1, 1, 1))
    instance.apply(RememberResult(b"id", b"x"))
    instance.settle()
    instance.store.write([(keys.quota(node), b"\xc1"), (keys.result(b"id"), b"12345678\xc1")])
    instance.reload()
    with pytest.raises(StoreError):
        queries.quota_lines(instance.ns, node)
    with pytest.raises(StoreError):
        instance.ns.remembered(b"id")
