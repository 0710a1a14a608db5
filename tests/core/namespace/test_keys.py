"""Keys sort as what they stand for, and can be read back."""

from hypothesis import given
from hypothesis import strategies as st

from thesan.core.namespace import keys

_fids = st.integers(0, 2**63 - 1)
_names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20
)


@given(_fids, _fids, _names, _names)
def test_entries_sort_by_directory_then_by_name(a: int, b: int, x: str, y: str) -> None:
    assert (keys.entry(a, x) < keys.entry(b, y)) == ((a, x.encode()) < (b, y.encode()))
    assert (x < y) == (x.encode() < y.encode()), "Python's order of text is that of UTF-8"


@given(_fids, _names)
def test_an_entry_lies_in_its_directory_only(fid: int, name: str) -> None:
    prefix = keys.entries(fid)
    assert prefix <= keys.entry(fid, name) < keys.after(prefix)
    if fid < 2**63 - 1:
        assert keys.after(prefix) <= keys.entries(fid + 1)


@given(st.binary(min_size=1, max_size=12), st.binary(max_size=4))
def test_after_is_above_every_key_with_the_prefix(prefix: bytes, rest: bytes) -> None:
    assert b"D" + prefix + rest < keys.after(b"D" + prefix)


@given(_fids, _fids, _names)
def test_link_names(fid: int, parent: int, name: str) -> None:
    assert keys.link_name(keys.link(fid, parent, name)) == (parent, name)


@given(st.integers(1, 65534), _fids)
def test_replicas(fsid: int, fid: int) -> None:
    for key in (keys.replica(fsid, fid), keys.deletion(fsid, fid)):
        assert (keys.replica_fsid(key), keys.replica_fid(key)) == (fsid, fid)
    assert keys.fs_counters(fsid)[-2:] == keys.replica(fsid, fid)[1:3]


@given(_fids, st.sampled_from("ugp"), st.integers(0, 2**32))
def test_quota_accounts(node: int, kind: str, number: int) -> None:
    assert keys.quota_account(keys.quota_counters(node, kind, number)) == (kind, number)


def test_prefixes_of_different_records_do_not_mix() -> None:
    heads = [
        keys.entry(1, "a"),
        keys.inode(1),
        keys.xattrs(1),
        keys.links(1),
        keys.replica(1, 1),
        keys.deletion(1, 1),
        keys.quota(1),
        keys.config("s", "k"),
        keys.INSTANCE,
        keys.result(b"x"),
        keys.result_number(1),
        keys.M_APPLIED,
    ]
    assert len({head[:1] for head in heads}) == len(heads)


@given(_fids)
def test_fid_values(fid: int) -> None:
    assert keys.unpack_fid(keys.pack_fid(fid)) == fid
