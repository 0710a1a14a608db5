"""The request classes as values: sid first, cheap, one number each."""

from typing import get_args

import msgspec

from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, RequestId


def test_sid_is_the_first_field_of_every_request() -> None:
    for request in get_args(rq.Request):
        assert issubclass(request, msgspec.Struct)
        assert msgspec.structs.fields(request)[0].name == "sid"
        assert not request.__struct_config__.gc


def test_numbers_are_distinct() -> None:
    ids = [r.REQUEST_ID for r in get_args(rq.Request) if r is not rq.Unsupported]
    assert len(ids) == len(set(ids))
    assert all(isinstance(number, RequestId) for number in ids)


def test_default_lists_are_not_shared() -> None:
    first, second = rq.FAttr(NO_SID, 1), rq.FAttr(NO_SID, 1)
    first.names.append("user.a")
    assert second.names == []


def test_the_number_is_no_field() -> None:
    assert msgspec.structs.asdict(rq.Ping(NO_SID)) == {"sid": NO_SID}
