"""Sums and averages over filesystems."""

import pytest

from thesan.core.control.messages import FsReport
from thesan.core.placement.records import FsRecord
from thesan.roles.mgm.admin.figures import Sums, common_geotag, filled_percent, split_node
from thesan.roles.mgm.view import FsState


def state(fsid: int, configstatus: str = "rw", **figures: object) -> FsState:
    record = FsRecord(f"u{fsid}", "n:1", f"/{fsid}", "default", "default.0", configstatus)
    report = FsReport(fsid, f"u{fsid}", f"/{fsid}", "booted", **figures)  # type: ignore[arg-type]
    return FsState(fsid, record, report)  # type: ignore[arg-type]


def test_sums():
    sums = Sums(
        [
            state(1, capacity_bytes=100, free_bytes=50, disk_load=0.2),
            state(2, "ro", capacity_bytes=100, free_bytes=100, disk_load=0.6),
            FsState(3, FsRecord("u3", "n:1", "/3", "default", "default.0")),  # type: ignore[arg-type]
        ]
    )
    assert (sums.count, sums.count_rw) == (3, 2)
    assert (sums.capacity(), sums.free(), sums.used()) == (200, 150, 50)
    assert sums.total_rw(lambda one: one.capacity_bytes) == 100
    assert sums.mean(lambda one: one.disk_load) == pytest.approx(0.8 / 3)
    assert sums.sigma(filled_percent) == pytest.approx((2 * 50**2 / 9) ** 0.5)
    assert sums.deviation(filled_percent) == pytest.approx(100 / 3)


def test_of_nothing():
    sums = Sums([])
    assert sums.mean(filled_percent) == sums.sigma(filled_percent) == 0.0
    assert sums.deviation(filled_percent) == 0.0


def test_a_disk_of_unknown_size_is_not_filled():
    assert filled_percent(FsReport(1, "u", "/", "down")) == 0.0


@pytest.mark.parametrize(
    ("geotags", "common"),
    [
        ([], ""),
        (["", ""], ""),
        (["a::b"], "a::b"),
        (["a::b", "a::c"], "a"),
        (["a::b", ""], "a::b"),
        (["a::b", "a"], "a"),
        (["ab", "ac"], ""),
    ],
)
def test_common_geotag(geotags, common):
    assert common_geotag(geotags) == common


@pytest.mark.parametrize(
    ("node", "parts"),
    [("h:1", ("h", 1)), ("[::1]:2", ("[::1]", 2)), ("h", ("h", 0)), ("h:x", ("h:x", 0))],
)
def test_split_node(node, parts):
    assert split_node(node) == parts
