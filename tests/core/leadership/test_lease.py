"""A lease counts from sending, and never goes back."""

from thesan.core.leadership.lease import ReadLease


def test_it_counts_from_sending():
    lease = ReadLease(0.6)
    assert lease.until == float("-inf")
    lease.confirmed(100.0)
    assert lease.until == 100.6
    lease.confirmed(99.0)
    assert lease.until == 100.6, "a late confirmation takes nothing away"
    lease.confirmed(101.0)
    assert lease.until == 101.6


def test_a_standby_has_one_for_ever():
    assert ReadLease(float("inf")).until == float("inf")
