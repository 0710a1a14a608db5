"""EOS' ACLs: what each right does, how rules add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ROOT, Identity
from thesan.core.namespace import acl
from thesan.core.namespace.inode import S_IFREG, Inode, new_directory, new_inode

ALICE = Identity(1, 1, (1, 50), "alice", "unix")


def _verdict(text: str, who: Identity = ALICE, user: str = "") -> tuple[int, int]:
    rules = acl.parse(text, system=True) + acl.parse(user, system=False)
    return acl.evaluate(rules, who)


@pytest.mark.parametrize(
    ("text", "granted"),
    [
        ("u:1:rx", acl.READ | acl.BROWSE),
        ("u:alice:r", acl.READ),
        ("u:2:r", 0),
        ("u:bob:r", 0),
        ("g:50:r", acl.READ),
        ("g:51:r", 0),
        ("g:0:r", 0),
        ("z:r", acl.READ),
        ("z::r", acl.READ),
        ("egroup:people:r", 0),
        ("k:key:r", 0),
        ("u:1:w", acl.WRITE | acl.UPDATE),
        ("u:1:wo", acl.WRITE_ONCE),
        ("u:1:wo,u:1:w", acl.WRITE_ONCE),
        ("u:1:xmdc", acl.BROWSE | acl.CHMOD | acl.DELETE | acl.CHOWN),
        ("u:1:qaA", acl.QUOTA | acl.ARCHIVE | acl.SYS_ACL),
        ("u:1:Xpti", acl.SYS_XATTR | acl.PREPARE | acl.TOKEN | acl.IMMUTABLE),
        ("u:1:r,g:1:x,z:u", acl.READ | acl.BROWSE | acl.UPDATE),
        ("", 0),
        (" u:1:r , ,", acl.READ),
    ],
)
def test_grants(text: str, granted: int) -> None:
    assert _verdict(text) == (granted, 0)


@pytest.mark.parametrize(
    ("text", "granted", "denied"),
    [
        ("u:1:rwx!d", acl.READ | acl.WRITE | acl.UPDATE | acl.BROWSE, acl.DELETE),
        ("u:1:w!u", acl.WRITE, acl.UPDATE),
        ("z:!r,u:1:r", 0, acl.READ),
        ("u:1:r,z:!r", 0, acl.READ),
        ("u:1:w,z:!w", 0, acl.WRITE),
        ("z:!d,u:1:+d", acl.DELETE, 0),
        ("u:1:+d,z:!d", 0, 0),
        ("z:w!u,u:1:+u", acl.WRITE | acl.UPDATE, 0),
        ("z:!m,u:1:m", 0, acl.CHMOD),
        ("z:i,u:1:!i", 0, acl.IMMUTABLE),
        ("u:1:wo,u:1:+d", acl.DELETE, 0),
    ],
)
def test_denials_beat_grants_and_reallows_beat_denials(
    text: str, granted: int, denied: int
) -> None:
    found = _verdict(text)
    assert found[1] == denied
    assert found[0] & ~acl.DELETE == granted & ~acl.DELETE


def test_reallow_is_for_sys_acl_only() -> None:
    assert _verdict("z:!d!u", user="u:1:+d+u") == (0, acl.DELETE | acl.UPDATE)


def test_a_user_acl_gives_no_system_rights() -> None:
    assert _verdict("", user="u:1:rqaAXptc") == (acl.READ, 0)


@pytest.mark.parametrize(
    "text",
    ["u", "u:1", "u::r", "x:1:r", "u:1:s", "u:1:+r", "u:1:!", "u:1:r:x", "z", "u:1:wO", "r"],
)
def test_what_is_no_acl(text: str) -> None:
    with pytest.raises(OperationError, match="ACL"):
        acl.parse(text, system=True)


@pytest.mark.parametrize("subject", ["u", "g"])
@pytest.mark.parametrize("digits", [11, 5000])
def test_no_id_has_thousands_of_digits(subject: str, digits: int) -> None:
    """Python refuses to read such a number: what is stored already must not fail every check."""
    text = f"{subject}:{'1' * digits}:r,u:1:r"
    with pytest.raises(OperationError, match="ACL"):
        acl.parse(text, system=True)
    directory = new_directory(2, 1, "d", 0o40000, 0, 0, 0)
    directory.xattrs = {"sys.acl": text.encode()}
    assert acl.verdict(directory, ALICE) == (acl.READ, 0)
    assert len(acl.parse(f"{subject}:{2**32 - 1}:r", system=True)) == 1


def test_the_number_of_rules_is_bounded() -> None:
    with pytest.raises(OperationError, match="at most"):
        acl.parse(",".join(["z:r"] * 257), system=True)


@given(st.text(st.sampled_from("ugzk:1,alice!+rwxodmcqiaAXpt"), max_size=30))
def test_parse_refuses_or_evaluates(text: str) -> None:
    try:
        rules = acl.parse(text, system=True)
    except OperationError:
        return
    granted, denied = acl.evaluate(rules, ALICE)
    assert granted & denied == 0


def test_names_become_ids() -> None:
    text = acl.convert_ids("u:alice:rx,g:staff:r,z:r,u:5:w,u:who:r", {"alice": 1}, {"staff": 50})
    assert text == "u:1:rx,g:50:r,z:r,u:5:w,u:who:r"


# -- with POSIX bits -----------------------------------------------------------------------------
def _directory(mode: int = 0o750, **xattrs: bytes):
    directory = new_directory(5, 1, "d", mode, 9, 9, 0)
    directory.xattrs = {name.replace("_", "."): value for name, value in xattrs.items()} or None
    return directory


def _file(mode: int = 0o640, uid: int = 9, gid: int = 9, **xattrs: bytes) -> Inode:
    inode = new_inode(S_IFREG | mode, 5, "f", uid, gid, 1, 0, 0, 0, 0, 0, 0, (), fid=6)
    inode.xattrs = {name.replace("_", "."): value for name, value in xattrs.items()} or None
    return inode


@pytest.mark.parametrize(
    ("who", "bits"),
    [
        (ROOT, 6),
        (Identity(9, 1, (1,)), 0),
        (Identity(1, 9, (9,)), 4),
        (Identity(1, 1, (1, 9)), 4),
        (Identity(1, 1, (1,)), 2),
    ],
)
def test_one_class_decides(who: Identity, bits: int) -> None:
    assert acl.mode_bits(_file(0o042), who) == bits
    assert acl.rights(_file(0o042), who) == bits


def test_root_executes_what_anybody_may() -> None:
    assert acl.mode_bits(_file(0o100), ROOT) == 7
    assert acl.mode_bits(_directory(0o000), ROOT) == 7


def test_an_acl_adds_to_the_bits_and_takes_away() -> None:
    assert acl.rights(_directory(), ALICE) == 0
    assert acl.rights(_directory(sys_acl=b"u:1:rx"), ALICE) == 5
    assert acl.rights(_directory(sys_acl=b"u:1:rwx"), ALICE) == 7
    assert acl.rights(_directory(sys_acl=b"u:1:wo"), ALICE) == 2
    assert acl.rights(_directory(0o777, sys_acl=b"u:1:!x"), ALICE) == 2
    assert acl.rights(_directory(0o777, sys_acl=b"u:1:!r!w"), ALICE) == 1
    assert acl.rights(_directory(0o777, sys_acl=b"u:1:!x"), ROOT) == 7


def test_a_file_is_judged_by_its_directory_and_its_own_rules() -> None:
    assert acl.rights(_file(), ALICE, _directory(sys_acl=b"u:1:rx")) == 4
    assert acl.rights(_file(), ALICE, _directory(sys_acl=b"u:1:rwx")) == 6
    assert acl.rights(_file(0o666), ALICE, _directory(sys_acl=b"u:1:rwx!u")) == 4
    assert acl.rights(_file(sys_acl=b"u:1:r"), ALICE, _directory()) == 4
    assert acl.rights(_file(0o666, sys_acl=b"u:1:!r"), ALICE, _directory()) == 2


def test_user_acl_counts_only_where_it_is_switched_on() -> None:
    assert acl.rights(_directory(user_acl=b"u:1:rx"), ALICE) == 0
    switched = _directory(user_acl=b"u:1:rx", sys_eval_useracl=b"1")
    assert acl.rights(switched, ALICE) == 5
    own = _file(user_acl=b"u:1:r", sys_eval_useracl=b"1")
    assert acl.rights(own, ALICE, _directory()) == 4
    off = _file(user_acl=b"u:1:r")
    assert acl.rights(off, ALICE, switched) == 0, "the file's own list replaces the directory's"


def test_an_unreadable_rule_gives_nothing_and_spoils_nothing() -> None:
    assert acl.rights(_directory(sys_acl=b"nonsense,u:1:rx,\xff\xfe"), ALICE) == 5
