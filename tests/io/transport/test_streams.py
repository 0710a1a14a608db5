"""Substreams of a session: path ids, and what waits on them."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import BIND_STREAMS_MAX
from thesan.io.transport.streams import Streams


class Bound:
    """A connection as far as it matters here."""

    def __init__(self, queued_bytes: int = 0) -> None:
        self.queued_bytes = queued_bytes
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_path_ids_are_small_and_used_again() -> None:
    streams: Streams[Bound] = Streams()
    made = [Bound() for _ in range(BIND_STREAMS_MAX)]
    assert [streams.add(one) for one in made] == list(range(1, BIND_STREAMS_MAX + 1))
    with pytest.raises(OperationError) as caught:
        streams.add(Bound())
    assert caught.value.errno == errno.EUSERS
    streams.forget(made[1])
    streams.forget(Bound())
    assert streams.add(made[1]) == 2


def test_only_those_that_live_are_found() -> None:
    streams: Streams[Bound] = Streams()
    one = Bound()
    assert streams.find(streams.add(one)) is one
    for path_id in (0, 2):
        with pytest.raises(OperationError) as caught:
            streams.find(path_id)
        assert caught.value.errno == errno.EINVAL
    one.close()
    with pytest.raises(OperationError):
        streams.find(1)


def test_what_waits_is_summed_and_all_end_together() -> None:
    streams: Streams[Bound] = Streams()
    assert streams.queued_bytes == 0
    made = [Bound(3), Bound(4)]
    for one in made:
        streams.add(one)
    assert streams.queued_bytes == 7
    streams.close()
    assert all(one.is_closed for one in made)
    assert streams.queued_bytes == 0
