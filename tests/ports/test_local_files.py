"""The port is kept by the real world's class."""

from thesan.ports.local_files import LocalFiles, LocalKind, LocalStat
from thesan.worlds.real.local_files import RealLocalFiles


def test_real_world_has_every_promise() -> None:
    promised = [name for name in vars(LocalFiles) if not name.startswith("_")]
    assert promised
    for name in promised:
        assert callable(getattr(RealLocalFiles, name))


def test_stat_is_a_value() -> None:
    assert LocalStat(LocalKind.FILE, 1, 0o644, 2) == LocalStat(LocalKind.FILE, 1, 0o644, 2)
