"""Stat texts and flags."""

import pytest

from thesan.core.model.identity import ROOT, Identity
from thesan.core.namespace.inode import S_IFLNK, S_IFREG, Inode, new_directory, new_inode
from thesan.core.wire.bodies import parse_stat
from thesan.core.wire.numbers import StatFlag
from thesan.roles.mgm.stats import flags_of, template

R, W, X, D = StatFlag.READABLE, StatFlag.WRITABLE, StatFlag.XSET, StatFlag.IS_DIR
OWNER = Identity(1001, 1001, (1001,), "alice")
GROUP = Identity(1, 1001, (1001,), "friend")
OTHER = Identity(1, 1, (1,), "stranger")


def inode(mode: int, kind: int = S_IFREG, locations: tuple[int, ...] = ()) -> Inode:
    second = 10**9
    return new_inode(
        kind | mode, 1, "f", 1001, 1001, 1, 7, 5 * second, 6 * second, 4 * second, 0, 0,
        locations, None, None, "there" if kind == S_IFLNK else None, 99,
    )  # fmt: skip


def test_nine_fields(bench) -> None:
    text = template(bench.mgm.master, inode(0o4750)) % 48
    assert text == b"99 7 48 5 6 5 4750 alice alice"
    info = parse_stat(text)
    assert (info.mode, info.mtime, info.ctime, info.atime) == (0o4750, 5, 6, 5)


def test_the_text_is_kept_on_the_inode(bench) -> None:
    file = inode(0o644)
    assert template(bench.mgm.master, file) is template(bench.mgm.master, file)
    assert file.text is not None


@pytest.mark.parametrize(
    ("who", "mode", "flags"),
    [
        (ROOT, 0o000, R | W),
        (ROOT, 0o100, R | W | X),
        (OWNER, 0o700, R | W | X),
        (OWNER, 0o077, 0),
        (GROUP, 0o050, R | X),
        (OTHER, 0o002, W),
        (OTHER, 0o774, R),
    ],
)
def test_flags(bench, who: Identity, mode: int, flags: int) -> None:
    assert flags_of(bench.mgm.master, inode(mode), who) == flags


def test_kinds(bench) -> None:
    directory = new_directory(5, 1, "d", 0o755, 0, 0, 0)
    assert flags_of(bench.mgm.master, directory, OTHER) == R | X | D
    assert flags_of(bench.mgm.master, inode(0o777, S_IFLNK), OTHER) & StatFlag.OTHER


def test_offline_is_when_every_replica_is(bench) -> None:
    master = bench.mgm.master
    file = inode(0o644, locations=(1, 2))
    for dark, offline in (((), False), ((1,), False), ((1, 2, 3), True)):
        master.dark = frozenset(dark)
        assert bool(flags_of(master, file, ROOT) & StatFlag.OFFLINE) is offline
    assert not flags_of(master, inode(0o644), ROOT) & StatFlag.OFFLINE
