"""Knowledge of the MGMs only goes forwards."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.limits import MGM_COUNT_MAX
from thesan.roles.client.masters import Masters, News
from thesan.roles.client.url import Endpoint

A, B, C = (Endpoint(name, 1094) for name in "abc")


def test_the_first_of_the_url_is_asked_first():
    masters = Masters((A, B, A))
    assert masters.mgms == (A, B)
    assert (masters.current, masters.master, masters.epoch) == (A, None, 0)


def test_a_higher_epoch_is_news_and_an_older_one_is_not():
    masters = Masters((A, B))
    assert masters.heard(2, "b:1094")
    assert (masters.current, masters.master, masters.epoch) == (B, B, 2)
    assert not masters.heard(1, "a:1094", ["x:1"])
    assert not masters.heard(2, "b:1094")
    assert not masters.heard(2, "a:1094"), "an epoch has one master"
    assert masters.mgms == (A, B)
    assert masters.heard(3, "c:1094")
    assert masters.mgms == (A, B, C)
    assert masters.current == C


def test_an_epoch_whose_master_is_named_later():
    masters = Masters((A, B))
    masters.heard(1, "a:1094")
    assert not masters.heard(2, "")
    assert (masters.master, masters.current, masters.epoch) == (None, A, 2)
    assert not masters.heard(2, "no address")
    assert masters.heard(2, "b:1094")


def test_members_come_and_go_but_not_those_of_the_url():
    masters = Masters((A,))
    masters.heard(1, "a:1094", ["a:1094", "b:1094", "c:1094", "?"])
    assert masters.mgms == (A, B, C)
    masters.heard(1, "a:1094", ["c:1094"])
    assert masters.mgms == (A, C)
    assert masters.is_mgm(A)
    assert masters.is_mgm(C)
    assert not masters.is_mgm(B)
    masters.heard(1, "", [f"h{n}:1" for n in range(1000)])
    assert len(masters.mgms) == MGM_COUNT_MAX


def test_a_name_that_only_the_instance_knows():
    masters = Masters((A, B))
    assert masters.heard_self(1, "inside:1", ["inside:1", "b:1094"], A)
    assert masters.master == A
    assert masters.mgms == (A, B)


def test_whom_to_ask_when_one_fails():
    masters = Masters((A, B, C))
    masters.failed(B)
    assert masters.current == A, "it was not the one asked"
    masters.failed(A)
    assert masters.current == B
    masters.failed(B, live=[A])
    assert masters.current == A
    masters.heard(1, "c:1094")
    masters.arrived(B)
    masters.failed(B, live=[A, C])
    assert masters.current == C, "the master, which answers"
    masters.failed(C, live=[A, C])
    assert masters.current == A
    alone = Masters((A,))
    alone.failed(A)
    assert alone.current == A
    alone.arrived(C)
    alone.failed(C)
    assert alone.current == A


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["", "a:1", "b:1", "c:1"]), st.booleans())
    )
)
def test_epochs_never_go_back(says):
    masters = Masters((A,))
    named: dict[int, Endpoint] = {}
    for epoch, address, by_itself in says:
        before = masters.epoch
        if by_itself:
            masters.heard_self(epoch, address, [], A)
        else:
            masters.heard(epoch, address)
        assert masters.epoch == max(before, epoch)
        if masters.master is not None:
            assert named.setdefault(masters.epoch, masters.master) == masters.master


def test_news_wake_sleepers():
    async def main():
        news = News()
        loop = asyncio.get_running_loop()
        sleeping = loop.create_task(news.sleep(3600))
        other = loop.create_future()
        waiting = loop.create_task(news.until(other, 3600))
        await asyncio.sleep(0)
        news.tell()
        assert await sleeping is True
        await waiting
        assert not other.done()
        assert await news.sleep(0.001) is False
        waiting = loop.create_task(news.until(other, 3600))
        await asyncio.sleep(0)
        other.set_result(5)
        await waiting
        await news.until(loop.create_future(), 0.001)
        assert not news._sleepers

    asyncio.run(main())
