"""Requests that the engine sends, built from keys and values."""

from typing import Any, Final

from thesan.worlds.real.etcd import messages

_EQUAL: Final = 0
_GREATER: Final = 1
"""Compare.CompareResult"""
_VERSION: Final = 0
_CREATE: Final = 1
_VALUE: Final = 3
"""Compare.CompareTarget"""


def get(key: bytes, end: bytes = b"", *, limit: int = 0, keys_only: bool = False) -> Any:
    """Read one key, or the range up to `end`, in the order of the keys."""
    return messages.RequestOp(
        request_range=messages.RangeRequest(
            key=key, range_end=end, limit=limit, keys_only=keys_only
        )
    )


def put(key: bytes, value: bytes) -> Any:
    """Write one key."""
    return messages.RequestOp(request_put=messages.PutRequest(key=key, value=value))


def delete(key: bytes, end: bytes = b"") -> Any:
    """Remove one key or a range."""
    return messages.RequestOp(
        request_delete_range=messages.DeleteRangeRequest(key=key, range_end=end)
    )


def is_value(key: bytes, value: bytes) -> Any:
    """The key is there and holds exactly this."""
    return messages.Compare(result=_EQUAL, target=_VALUE, key=key, value=value)


def is_absent(key: bytes, end: bytes = b"") -> Any:
    """The key, or every key of the range, is not there."""
    return messages.Compare(
        result=_EQUAL, target=_CREATE, key=key, range_end=end, create_revision=0
    )


def is_there(key: bytes) -> Any:
    """The key is there."""
    return messages.Compare(result=_GREATER, target=_CREATE, key=key, create_revision=0)


def is_version(key: bytes, version: int) -> Any:
    """The key was written so many times; 0: it is not there."""
    return messages.Compare(result=_EQUAL, target=_VERSION, key=key, version=version)


def txn(compare: list[Any], success: list[Any], failure: list[Any] | None = None) -> Any:
    """All of `success` if all of `compare` hold, otherwise all of `failure`: one revision."""
    return messages.TxnRequest(compare=compare, success=success, failure=failure or [])


def role_of(status: Any) -> str:
    """leader, learner or follower: the member that answered with this StatusResponse."""
    if status.leader == status.header.member_id:
        return "leader"
    return "learner" if status.isLearner else "follower"


def found(response: Any, index: int) -> Any:
    """KeyValues that the range at `index` of a transaction brought."""
    return response.responses[index].response_range.kvs


def value_of(response: Any, index: int) -> bytes | None:
    """Value of the single key that was read at `index`; None when it is absent."""
    kvs = found(response, index)
    return kvs[0].value if kvs else None
