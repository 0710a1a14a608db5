"""An upload that is begun anew has the bytes that were acknowledged, or is not begun at all."""

import random

from hypothesis import given
from hypothesis import strategies as st

from thesan.core.wire import requests as rq
from thesan.roles.client.replay import Replay

steps = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 300), st.integers(0, 100)),
        st.tuples(st.integers(0, 300), st.none()),
    ),
    max_size=12,
)


@given(steps, st.integers(1, 64))
def test_it_is_what_a_file_would_hold(steps, step) -> None:
    replay, model, dice = Replay(), bytearray(), random.Random(1)
    for number, length in steps:
        if length is None:
            replay.truncated(number)
            model = model[:number].ljust(number, b"\0")
        else:
            data = dice.randbytes(length)
            replay.wrote(number, memoryview(data))
            if number > len(model):
                model = model.ljust(number, b"\0")
            model[number : number + length] = data
    again = bytearray(len(model))
    for request in replay.requests(7, step):
        assert isinstance(request, rq.Write)
        assert request.fh == 7
        again[request.offset : request.offset + len(request.data)] = request.data
    assert again == model
    assert (replay.is_whole, replay.size) == (True, len(model))


def test_more_than_is_kept_is_not_kept(monkeypatch) -> None:
    monkeypatch.setattr("thesan.roles.client.replay.REPLAY_BYTES_MAX", 10)
    written, cut = Replay(), Replay()
    written.wrote(0, b"0123456789")
    assert written.is_whole
    written.wrote(10, b"!")
    cut.truncated(11)
    for replay in (written, cut):
        assert not replay.is_whole
        replay.wrote(0, b"x")
        replay.truncated(0)
        assert not replay.is_whole
        assert list(replay.requests(0, 4)) == []


def test_the_checksum_is_the_servers_form() -> None:
    replay = Replay()
    replay.wrote(0, b"Wikipedia")
    assert replay.adler32() == "11e60398"
