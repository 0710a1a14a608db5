"""Virtual identities."""

from thesan.core.model.identity import NOBODY, NOBODY_UID, ROOT, Identity


def test_the_default_is_nobody() -> None:
    assert NOBODY.uid == NOBODY_UID
    assert not NOBODY.is_root
    assert not NOBODY.sudoer
    assert NOBODY.gid in NOBODY.gids
    assert Identity() == NOBODY


def test_root() -> None:
    assert ROOT.is_root
    assert not Identity(uid=1).is_root
