"""The checker finds what is wrong: one fault is planted at a time."""

import pytest

from thesan.core.namespace import invariants, keys
from thesan.core.namespace.inode import decode_record, encode_record
from thesan.core.namespace.ops import QuotaSet, RememberResult
from thesan.core.namespace.state import Namespace


@pytest.fixture
def sound(instance):
    instance.mkdir("/d")
    instance.commit("/d/f", locations=(1, 2))
    instance.link("/d/f", "/d/g")
    instance.commit("/d/h", locations=(3,))
    instance.xattr("/d/f", "user.a", b"1")
    instance.apply(QuotaSet(instance.at("/d").fid, "u", 0, 1, 1))
    instance.apply(RememberResult(b"id", b"x"))
    instance.commit("/gone", locations=(5,))
    instance.unlink("/gone")
    instance.reload()
    instance.at("/d/f")
    instance.at("/d/h")
    assert invariants.check(instance.ns) == []
    return instance


def _record(instance, fid: int, **changes: object) -> tuple[bytes, bytes]:
    value = instance.store.get(keys.inode(fid))
    inode = decode_record(fid, value)
    for name, new in changes.items():
        setattr(inode, name, new)
    return keys.inode(fid), encode_record(inode)


FAULTS = {
    "entry of nothing": lambda i, f: (keys.entry(1, "x"), keys.pack_fid(77)),
    "no entry": lambda i, f: (keys.entry(2, "h"), None),
    "wrong parent": lambda i, f: _record(i, f, parent=1),
    "wrong nlink": lambda i, f: _record(i, f, nlink=3),
    "wrong directory size": lambda i, f: _record(i, 2, size=9),
    "wrong directory nlink": lambda i, f: _record(i, 2, nlink=9),
    "entries in a file": lambda i, f: (keys.entry(f, "x"), keys.pack_fid(f)),
    "lost link record": lambda i, f: (keys.link(f, 2, "g"), None),
    "link record of nothing": lambda i, f: (keys.link(99, 2, "g"), b""),
    "lost attributes": lambda i, f: (keys.xattrs(f), None),
    "attributes of nothing": lambda i, f: (keys.xattrs(99), b"\x80"),
    "lost replica": lambda i, f: (keys.replica(1, f), None),
    "replica of nothing": lambda i, f: (keys.replica(1, 99), b""),
    "replica awaits deletion": lambda i, f: (keys.deletion(1, f), b""),
    "lost deletion": lambda i, f: (keys.deletion(5, 5), None),
    "instance counters": lambda i, f: (keys.INSTANCE, bytes(48)),
    "fs counters": lambda i, f: (keys.fs_counters(1), None),
    "quota counters": lambda i, f: (keys.quota_counters(2, "u", 0), None),
    "quota flag": lambda i, f: (keys.quota(99), b"\x80"),
    "size": lambda i, f: _record(i, f, size=1),
    "lost result": lambda i, f: (keys.result(b"id"), None),
    "result elsewhere": lambda i, f: (keys.result(b"id"), bytes(8) + b"\x01"),
    "unreserved fid": lambda i, f: (keys.inode(1 << 40), i.store.get(keys.inode(f))),
    "cycle": lambda i, f: _record(i, 2, parent=2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(sound, fault: str) -> None:
    change = FAULTS[fault](sound, sound.at("/d/f").fid)
    if fault == "result elsewhere":
        change = (change[0], keys.pack_fid(9) + change[1][8:])
    assert sound.store.get(change[0]) != change[1], "the fault must be one"
    sound.store.write([change])
    assert invariants.check(Namespace(sound.store)) != []


def test_a_wrong_cache_is_found(sound) -> None:
    tree = sound.ns.tree
    inode = sound.at("/d/h")

    def spoil(**changes: object) -> None:
        before = {name: getattr(inode, name) for name in changes}
        for name, value in changes.items():
            setattr(inode, name, value)
        assert invariants.check(sound.ns) != []
        for name, value in before.items():
            setattr(inode, name, value)
        assert invariants.check(sound.ns) == []

    spoil(size=1)
    spoil(xattrs={"user.a": b""})
    spoil(uid=9)
    tree.cached_count += 1
    assert invariants.check(sound.ns) != []
    tree.cached_count -= 1
    linked = tree.linked.popitem()
    assert invariants.check(sound.ns) != []
    tree.linked[linked[0]] = linked[1]
    tree.root.complete = True
    tree.detach(tree.root, "d")
    assert invariants.check(sound.ns) != []
