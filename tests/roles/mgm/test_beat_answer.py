"""The held answer to a beat: with news when they are durable, without them when that takes long."""

import asyncio

import pytest

from thesan.core.model.limits import BEAT_ANSWER_SECONDS_MAX, BEAT_SILENCE_SECONDS_MAX
from thesan.roles.mgm.beat_answer import BeatAnswer

from .conftest import Peer


@pytest.fixture
def held(loop):
    peer = Peer()

    async def make() -> BeatAnswer:
        return BeatAnswer(peer, lambda: b"no news")

    return loop.run_until_complete(make()), peer


def passes(loop, seconds: float) -> None:
    loop.run_until_complete(asyncio.sleep(seconds))


def limited(loop, answer: BeatAnswer) -> None:
    async def limit() -> None:
        answer.limit()

    loop.run_until_complete(limit())


def test_news_in_time_are_all_that_is_said(loop, held) -> None:
    answer, peer = held
    limited(loop, answer)
    passes(loop, BEAT_ANSWER_SECONDS_MAX - 0.01)
    assert peer.sent == []
    answer.reply(b"news")
    passes(loop, BEAT_ANSWER_SECONDS_MAX)
    answer.close()
    assert (peer.sent, peer.is_closed) == ([b"news"], False)


def test_without_news_the_fst_beats_again_before_it_seems_silent(loop, held) -> None:
    answer, peer = held
    limited(loop, answer)
    passes(loop, BEAT_ANSWER_SECONDS_MAX + 0.01)
    assert peer.sent == [b"no news"]
    assert BEAT_ANSWER_SECONDS_MAX < BEAT_SILENCE_SECONDS_MAX / 1.5
    answer.reply(b"news")
    answer.close()
    assert (peer.sent, peer.is_closed) == ([b"no news"], False), "one request, one answer"


def test_the_end_of_the_mastership_closes_the_connection_that_waits(loop, held) -> None:
    answer, peer = held
    limited(loop, answer)
    answer.close()
    passes(loop, BEAT_ANSWER_SECONDS_MAX + 0.01)
    answer.reply(b"news")
    assert (peer.sent, peer.is_closed) == ([], True)
