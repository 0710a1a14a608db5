"""Who else could be master."""

from thesan.roles.mgm.successors import candidates, is_replaceable


def test_what_the_others_say_counts(trio) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    process = master.mgm.process

    async def look() -> tuple[list[bool], bool]:
        return [one.is_eligible for one in candidates(process)], is_replaceable(process)

    assert master.run(look()) == ([True, True], True)
    others = [bench for bench in trio.benches if bench is not master]
    others[0].crash()
    trio.sleep(0.3)
    assert master.run(look())[1]
    others[1].crash()
    trio.sleep(0.3)
    assert not master.run(look())[1]


def test_who_is_alone_can_not_be_replaced(bench) -> None:
    async def look() -> bool:
        return is_replaceable(bench.mgm.process)

    assert not bench.run(look())
