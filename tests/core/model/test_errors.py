"""One table for errno, XRootD code, exit status and retry."""

import errno

import pytest

from thesan.core.model import errors
from thesan.core.model.errors import (
    ConfigError,
    Fenced,
    OperationError,
    Retry,
    ThesanError,
    Trimmed,
    Unavailable,
    WireError,
    Xrd,
    errno_of,
    xrd_code_of,
)


@pytest.mark.parametrize("code", list(Xrd))
def test_every_code_has_an_errno(code: Xrd) -> None:
    assert errno_of(code) in errno.errorcode


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOENT, 3011),
        (errno.EEXIST, 3018),
        (errno.ENOTEMPTY, 3018),
        (errno.EACCES, 3010),
        (errno.EPERM, 3010),
        (errno.EISDIR, 3016),
        (errno.ENOSPC, 3009),
        (errno.EDQUOT, 3021),
        (errno.ENOTDIR, 3005),
        (errno.ELOOP, 3005),
    ],
)
def test_codes_of_the_specification(number: int, code: int) -> None:
    assert xrd_code_of(number) == code


def test_a_code_comes_back_as_itself() -> None:
    for code in Xrd:
        if code not in (Xrd.ARG_MISSING, Xrd.BAD_PAYLOAD):  # both are EINVAL, as ARG_INVALID
            assert xrd_code_of(errno_of(code)) in (code, Xrd.FS_ERROR)


def test_unknown_codes_are_io_errors() -> None:
    assert errno_of(9999) == errno.EIO
    assert xrd_code_of(12345) == Xrd.FS_ERROR


def test_operation_error_knows_what_a_caller_may_do() -> None:
    assert OperationError(errno.ENOENT, "x").retry is Retry.NEVER
    assert OperationError(errno.ETIMEDOUT, "x").retry is Retry.SAME_ID
    assert OperationError(errno.EIO, "x").retry is Retry.ELSEWHERE
    assert OperationError(errno.EIO, "x", Retry.NEVER).retry is Retry.NEVER
    assert OperationError(errno.EDQUOT, "x").xrd_code is Xrd.OVER_QUOTA
    assert OperationError(errno.ENOENT, "x").exit_status == errno.ENOENT


def test_an_unknown_outcome_may_only_be_resent_under_its_id() -> None:
    assert Unavailable("x").retry is Retry.SAME_ID
    assert Fenced("x").retry is Retry.ELSEWHERE


def test_every_error_has_an_exit_status() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, ThesanError)
    ]
    assert len(kinds) > 8
    for kind in kinds:
        assert 0 < kind.errno < 134
    assert Trimmed(7).first == 7
    assert WireError("x", fatal=True).fatal
    assert ConfigError("x").exit_status == errno.EINVAL
