"""What an MGM notices each second."""

import msgspec

from thesan.core.model.limits import FIGURES_SAMPLE_SECONDS
from thesan.core.wire.numbers import OpenFlag, Status
from thesan.roles.mgm.watch import Watch


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, str(fields.get("node", ""))))

    warning = info


def test_fsts_that_come_and_go_are_told_once(bench) -> None:
    log = Log()
    bench.mgm.master.world.log = log
    watch = Watch(bench.mgm.master)

    def look() -> list[tuple[str, str]]:
        async def call() -> None:
            watch.look()

        log.lines.clear()
        bench.run(call())
        return log.lines

    bench.beat(1)
    assert look() == [("FST is online", "fst1:1095"), ("filesystem", "fst1:1095")]
    assert look() == []
    bench.beat(1, boot="opserror")
    assert look() == [("filesystem", "fst1:1095")]
    bench.sleep(10)
    assert look() == [("FST is silent", "fst1:1095")]
    assert look() == []
    bench.beat(1)
    assert look() == [("FST is online", "fst1:1095"), ("filesystem", "fst1:1095")]


def test_what_can_not_be_read_is_dark(bench) -> None:
    bench.beat(1, fs=2)
    bench.sleep(1.5)
    assert bench.mgm.master.dark == frozenset()
    bench.admin("fs", "config", fs="2", key="configstatus", value="off")
    bench.sleep(1.5)
    assert bench.mgm.master.dark == {2}
    bench.sleep(10)
    assert bench.mgm.master.dark == {1, 2}


def test_the_engine_is_looked_at(bench) -> None:
    from thesan.core.wire.requests import Mkdir

    for number in range(5):
        bench.ok(Mkdir(b"\0\1", f"/d{number}"))
    bench.sleep(6)
    assert bench.mgm.master.context.engine.last == bench.journal.last


def test_while_the_engine_fills_up_less_is_taken_on(bench) -> None:
    from thesan.core.wire.requests import Mkdir, Open, Rmdir

    bench.beat(1)
    bench.ok(Mkdir(b"\0\1", "/a"))
    new_file = Open(b"\0\1", "/f", options=OpenFlag.NEW | OpenFlag.UPDATE)
    figures = bench.journal.status()

    def fill(percent: int) -> None:
        status = msgspec.structs.replace(figures, used_bytes=percent, quota_bytes=100)
        bench.journal.status = lambda: status
        bench.sleep(FIGURES_SAMPLE_SECONDS + 1.5)
        bench.beat(1)

    fill(49)
    bench.ok(Mkdir(b"\0\1", "/b"))
    fill(50)
    for bulk in (Mkdir(b"\0\1", "/c"), new_file):
        assert bench.ask(bulk)[0] == Status.WAIT
    bench.ok(Rmdir(b"\0\1", "/b"))
    fill(75)
    assert bench.ask(Rmdir(b"\0\1", "/a"))[0] == Status.WAIT
    fill(10)
    bench.ok(Rmdir(b"\0\1", "/a"))
    assert bench.ask(new_file)[0] == Status.REDIRECT
