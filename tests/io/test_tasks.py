"""Tasks are named, owned and ended; their failures are heard."""

import asyncio

import pytest

from thesan.io.tasks import TaskOwner


def test_a_task_is_named_after_its_owner_and_forgotten_when_done() -> None:
    async def main() -> None:
        owner = TaskOwner("mgm")

        async def work() -> str:
            task = asyncio.current_task()
            assert task is not None
            return task.get_name()

        task = owner.start("beat", work())
        assert len(owner) == 1
        assert await task == "mgm.beat"
        await asyncio.sleep(0)
        assert len(owner) == 0
        await owner.close()

    asyncio.run(main())


def test_a_failure_is_reported_at_once() -> None:
    heard: list[tuple[str, str]] = []

    async def main() -> None:
        owner = TaskOwner("fst", lambda name, error: heard.append((name, repr(error))))

        async def work() -> None:
            raise ValueError("broken")

        task = owner.start("scan", work())
        with pytest.raises(ValueError, match="broken"):
            await task
        await owner.close()

    asyncio.run(main())
    assert heard == [("fst.scan", "ValueError('broken')")]


def test_close_cancels_and_waits() -> None:
    ended: list[str] = []

    async def main() -> None:
        owner = TaskOwner("fst")

        async def work() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0)
                ended.append("cleaned up")

        owner.start("one", work())
        owner.start("two", work())
        await asyncio.sleep(0)
        await owner.close()
        assert len(owner) == 0
        await owner.close()
        with pytest.raises(RuntimeError, match="fst is closed"):
            owner.start("late", work())

    asyncio.run(main())
    assert ended == ["cleaned up"] * 2


def test_a_task_may_close_its_own_owner() -> None:
    async def main() -> None:
        owner = TaskOwner("one")
        await asyncio.wait_for(owner.start("self", owner.close()), 5)

    asyncio.run(main())
