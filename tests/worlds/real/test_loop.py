"""How a real process runs its main coroutine."""

import asyncio
import gc
import platform
import resource

import pytest

from thesan.worlds.real.loop import GC_THRESHOLDS, freeze, keep_freed_memory, new_event_loop, run


@pytest.fixture(autouse=True)
def collector():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


async def _answer():
    return type(asyncio.get_running_loop()).__module__


def test_run_returns_the_result_and_tunes_the_collector():
    assert run(_answer())
    assert gc.get_threshold() == GC_THRESHOLDS
    assert gc.get_freeze_count() > 0


def test_run_uses_uvloop_where_it_is_installed():
    pytest.importorskip("uvloop")
    assert run(_answer()).startswith("uvloop")


def test_run_takes_another_loop():
    assert run(_answer(), asyncio.new_event_loop).startswith("asyncio")


def test_run_without_uvloop(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    loop = new_event_loop()
    loop.close()
    assert type(loop).__module__.startswith("asyncio")


def test_freeze_hides_what_exists():
    gc.unfreeze()
    freeze()
    assert gc.get_freeze_count() > 0


def test_run_passes_errors_on():
    async def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(fail())


def test_large_buffers_are_reused():
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("not glibc's allocator")
    assert keep_freed_memory()
    size = 16 << 20
    bytearray(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        bytearray(size)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < size // 4096


def test_another_allocator(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_freed_memory()
