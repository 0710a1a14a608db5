"""The digest depends on every event; the story is kept only on request."""

from thesan.worlds.simulated.trace import Trace


def test_digest_depends_on_all():
    digests = []
    for now, source, data in [
        (1.0, "a", b"x"),
        (2.0, "a", b"x"),
        (1.0, "b", b"x"),
        (1.0, "a", b"y"),
    ]:
        trace = Trace()
        trace.bytes_moved(now, source, "t", data)
        digests.append(trace.digest())
    assert len(set(digests)) == 4


def test_reading_the_digest_changes_nothing():
    trace = Trace()
    trace.event(1.0, "a", "x")
    assert trace.digest() == trace.digest()
    assert trace.event_count == 1


def test_story():
    trace = Trace(story=True)
    trace.event(1.5, "a", "did it")
    trace.bytes_moved(2.0, "a", "b", b"abc")
    assert "a: did it" in trace.story()[0]
    assert "a -> b: 3 bytes" in trace.story()[1]
    assert Trace().story() == []


def test_failures_are_told_and_counted():
    trace = Trace(story=True)
    trace.failure(1.0, None, "broken")
    assert trace.failures == ["at 1.000000 in observer: broken"]
    assert "FAILURE broken" in trace.story()[0]
