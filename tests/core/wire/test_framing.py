"""Framing on its own: a toy side whose frames are one length byte and so many bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import WireError
from thesan.core.model.limits import HELD_BYTES_MAX
from thesan.core.wire.framing import Framing

HOLD, SKIP, BAD, BIG = 253, 254, 255, 200


class Toy(Framing[bytes]):
    """A length above BIG is awaited in a buffer of its own; some lengths are orders."""

    def _parse(self, view: memoryview, out: list[bytes]) -> int:
        position = 0
        while position < len(view) and not self._held:
            length = view[position]
            if length == BAD:
                raise WireError("bad")
            if length == HOLD:
                self._hold()
                position += 1
                continue
            if length == SKIP:
                gone = min(10, len(view) - position - 1)
                self._await_skip(10 - gone)
                position += 1 + gone
                continue
            stop = position + 1 + length
            if stop > len(view):
                if length >= BIG:
                    self._await_body(length, view[position + 1 :])
                    return len(view)
                self._await_frame(1 + length)
                return position
            out.append(view[position + 1 : stop].tobytes())
            position = stop
        self._await_frame(1)
        return position

    def _body_complete(self, body: bytearray, out: list[bytes]) -> None:
        out.append(bytes(body))

    def release(self) -> list[bytes]:
        return self._release()


frames = st.lists(st.binary(max_size=30) | st.binary(min_size=BIG, max_size=HOLD - 1), max_size=30)


def stream_of(parts: list[bytes]) -> bytes:
    return b"".join(bytes((len(part),)) + part for part in parts)


def feed(toy: Toy, data: bytes, cuts: list[int], *, windows: bool) -> list[bytes]:
    got: list[bytes] = []
    while data:
        size = cuts.pop() if cuts else len(data)
        window = toy.window() if windows else None
        if window is not None:
            part = data[: min(size, len(window))]
            window[: len(part)] = part
            got += toy.filled(len(part))
        else:
            part = data[:size]
            scratch = bytearray(part)
            got += toy.receive(memoryview(scratch))
            scratch[:] = bytes(len(scratch))  # nothing may point into the driver's buffer
        data = data[len(part) :]
    return got


@given(frames, st.lists(st.integers(1, 300), max_size=60), st.booleans())
def test_however_the_stream_is_cut_the_frames_are_the_same(
    parts: list[bytes], cuts: list[int], windows: bool
) -> None:
    toy = Toy()
    assert feed(toy, stream_of(parts), cuts, windows=windows) == parts
    assert toy.held_bytes == 0


@given(frames, st.integers(0, 3000))
def test_a_truncated_stream_yields_whole_frames_only(parts: list[bytes], cut: int) -> None:
    toy = Toy()
    stream = stream_of(parts)[:cut]
    got = toy.receive(stream)
    assert got == parts[: len(got)]
    assert len(stream_of(got)) + toy.held_bytes <= len(stream) + 1 + 255


@given(st.lists(st.integers(1, 8), max_size=40))
def test_skipped_bytes_are_gone(cuts: list[int]) -> None:
    stream = bytes((3,)) + b"abc" + bytes((SKIP,)) + b"0123456789" + bytes((1,)) + b"z"
    assert feed(Toy(), stream, cuts, windows=False) == [b"abc", b"z"]


@given(st.lists(st.integers(1, 8), max_size=40))
def test_held_input_comes_after_the_release(cuts: list[int]) -> None:
    toy = Toy()
    stream = bytes((1,)) + b"a" + bytes((HOLD, 1)) + b"b" + bytes((HOLD, 2)) + b"cd"
    assert feed(toy, stream, cuts, windows=True) == [b"a"]
    assert toy.release() == [b"b"]
    assert toy.release() == [b"cd"]
    assert toy.held_bytes == 0


def test_held_input_is_bounded() -> None:
    toy = Toy()
    toy.receive(bytes((HOLD,)))
    for _ in range(HELD_BYTES_MAX // 65536):
        assert toy.receive(bytes(65536)) == []
    assert toy.held_bytes == HELD_BYTES_MAX
    with pytest.raises(WireError, match="too much"):
        toy.receive(b"x")
    assert toy.held_bytes == 0


def test_a_lost_stream_stays_lost() -> None:
    toy = Toy()
    with pytest.raises(WireError) as first:
        toy.receive(bytes((1, 7, BAD)))
    assert first.value.fatal
    for data in (b"", b"\1a"):
        with pytest.raises(WireError) as again:
            toy.receive(data)
        assert again.value is first.value
    assert toy.window() is None


def test_a_window_shrinks_as_it_fills() -> None:
    toy = Toy()
    assert toy.window() is None
    assert toy.receive(bytes((220,)) + bytes(20)) == []
    window = toy.window()
    assert window is not None
    assert len(window) == 200
    window[:150] = b"x" * 150
    assert toy.filled(150) == []
    last = toy.window()
    assert last is not None
    assert len(last) == 50
    assert toy.filled(50) == [bytes(20) + b"x" * 150 + bytes(50)]
    assert toy.window() is None


def test_misuse_is_loud() -> None:
    with pytest.raises(AssertionError):
        Toy().filled(1)
    toy = Toy()
    toy.receive(bytes((220,)))
    for count in (0, 221):
        with pytest.raises(AssertionError):
            toy.filled(count)
