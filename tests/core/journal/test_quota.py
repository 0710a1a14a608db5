"""Admission by the engine's quota."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.journal.quota import Admission, admission, admit
from thesan.core.model.errors import OperationError, Retry


@pytest.mark.parametrize(
    ("used", "quota", "expected"),
    [
        (0, 100, Admission.ALL),
        (49, 100, Admission.ALL),
        (50, 100, Admission.ESSENTIAL),
        (74, 100, Admission.ESSENTIAL),
        (75, 100, Admission.TRIM),
        (200, 100, Admission.TRIM),
        (10**15, 0, Admission.ALL),
        (0, 1, Admission.ALL),
    ],
)
def test_steps(used, quota, expected):
    assert admission(used, quota) is expected


@given(st.integers(0, 1 << 60), st.integers(0, 1 << 60), st.integers(1, 1 << 60))
def test_more_use_never_allows_more(a, b, quota):
    low, high = sorted((a, b))
    assert admission(low, quota) <= admission(high, quota)


@pytest.mark.parametrize("is_bulk", [False, True])
@pytest.mark.parametrize("now", list(Admission))
def test_who_is_let_in(now, is_bulk):
    allowed = now is Admission.ALL or (now is Admission.ESSENTIAL and not is_bulk)
    if allowed:
        admit(now, is_bulk=is_bulk)
        return
    with pytest.raises(OperationError) as caught:
        admit(now, is_bulk=is_bulk)
    assert caught.value.errno == errno.EUSERS
    assert caught.value.retry is Retry.LATER
