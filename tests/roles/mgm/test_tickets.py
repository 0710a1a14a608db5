"""Capabilities and grants that an MGM signs."""

import msgspec
import pytest

from thesan.core.authority.capability import Grant, GrantKind, Op, Verifier
from thesan.core.authority.keytab import Key, make_keytab
from thesan.core.model.errors import CapabilityError, ConfigError
from thesan.core.model.identity import Identity
from thesan.core.model.ids import Epoch, Fsid, NodeId
from thesan.core.model.limits import CAPABILITY_SECONDS_MAX
from thesan.core.model.paths import parse_cgi
from thesan.roles.mgm.dice import Dice
from thesan.roles.mgm.tickets import Tickets, Work

NOW = 1_800_000_000
OLD, NEW = b"o" * 32, b"n" * 32
ALICE = Identity(1000, 100, (100,), "alice")
CLIENT = ("alice", 77, "127.0.0.9")
HEAD = (Fsid(1), NodeId("127.0.0.2:1095"))
SECOND = (Fsid(2), NodeId("127.0.0.3:1095"))
GRANT = Grant(
    kind=GrantKind.CREATE,
    fid=9,
    parent=1,
    name="f",
    path="/f",
    mode=0o644,
    uid=1000,
    gid=100,
    layout=0,
    fsids=(1, 2),
    space="default",
    exclusive=False,
    replaced=0,
    epoch=3,
    issued_s=NOW,
)


class Stream:
    def __init__(self) -> None:
        self.count = 0

    def token(self, byte_count: int) -> bytes:
        self.count += 1
        return bytes((self.count * 7 + i) % 256 for i in range(byte_count))


def tickets(*keys: Key) -> Tickets:
    keytab = make_keytab(list(keys or (Key(1, NEW, 0),)))
    return Tickets(keytab, Dice(Stream()), Epoch(3), NOW)


def text_of(cgi: str) -> str:
    return parse_cgi(cgi)["cap"]


def verify(node: str, text: str, ops: tuple[Op, ...], path: str = "/f"):
    verifier = Verifier([NEW], node)
    return verifier.verify(text, ops=ops, path=path, client=CLIENT, now_s=NOW)


def test_a_capability_is_for_one_fst_and_one_op() -> None:
    text = text_of(tickets().capability(Work(Op.READ, 9, "/f", 0), HEAD, ALICE, NOW))
    seen = verify(HEAD[1], text, (Op.READ,))
    assert (seen.fid, seen.fsid, seen.uid, seen.gid, seen.epoch) == (9, 1, 1000, 100, 3)
    assert seen.expires_s == NOW + CAPABILITY_SECONDS_MAX
    with pytest.raises(CapabilityError):
        verify(SECOND[1], text, (Op.READ,))
    with pytest.raises(CapabilityError):
        verify(HEAD[1], text, (Op.UPDATE,))
    with pytest.raises(CapabilityError):
        verify(HEAD[1], text, (Op.READ,), "/g")


def test_a_capability_to_read_is_what_work_would_give() -> None:
    book = tickets()
    short = verify(HEAD[1], text_of(book.to_read(9, "/f", 7, HEAD, ALICE, NOW)), (Op.READ,))
    whole = verify(
        HEAD[1], text_of(book.capability(Work(Op.READ, 9, "/f", 7), HEAD, ALICE, NOW)), (Op.READ,)
    )
    assert short.nonce != whole.nonce
    assert msgspec.structs.replace(short, nonce=whole.nonce) == whole
    with pytest.raises(CapabilityError):
        verify(HEAD[1], text_of(book.to_read(9, "/f", 7, HEAD, ALICE, NOW)), (Op.READ,), "/g")


def test_the_head_gets_tokens_for_the_others_and_alone_the_grant() -> None:
    book = tickets()
    work = Work(Op.CREATE, 9, "/f", 0x100, 4096, book.seal(GRANT, NOW))
    head = verify(
        HEAD[1], text_of(book.capability_for_all(work, [HEAD, SECOND], ALICE, NOW)), (Op.CREATE,)
    )
    assert book.open(head.grant, NOW) == GRANT
    assert [(other.fsid, other.node) for other in head.replicas] == [SECOND]
    second = verify(SECOND[1], head.replicas[0].token, (Op.CREATE,))
    assert (second.fsid, second.grant, second.replicas) == (2, b"", ())
    assert second.nonce != head.nonce


def test_keys_change_when_one_expires() -> None:
    old = Key(1, OLD, 5, expires_s=0)
    new = Key(2, NEW, 6, expires_s=NOW + 100)
    book = tickets(old, new)
    sealed = book.seal(GRANT, NOW)
    verify(HEAD[1], text_of(book.capability(Work(Op.READ, 9, "/f", 0), HEAD, ALICE, NOW)), (1,))
    later = NOW + 100
    text = text_of(book.capability(Work(Op.READ, 9, "/f", 0), HEAD, ALICE, later))
    Verifier([OLD], HEAD[1]).verify(text, ops=(1,), path="/f", client=CLIENT, now_s=later)
    with pytest.raises(CapabilityError):
        book.open(sealed, later)
    assert book.open(book.seal(GRANT, later), later) == GRANT


def test_a_key_signs_from_its_beginning_and_what_the_old_one_sealed_stays_readable() -> None:
    old, new = Key(1, OLD, 5), Key(2, NEW, NOW + 100)
    book, without = tickets(old, new), tickets(old)
    work = Work(Op.READ, 9, "/f", 0)

    def signed_by(secret: bytes, now_s: int) -> None:
        for cgi in (
            book.capability(work, HEAD, ALICE, now_s),
            book.to_read(9, "/f", 0, HEAD, ALICE, now_s),
        ):
            verifier = Verifier([secret], HEAD[1])
            verifier.verify(text_of(cgi), ops=(1,), path="/f", client=CLIENT, now_s=now_s)

    signed_by(OLD, NOW + 99)
    early = book.seal(GRANT, NOW + 99)
    assert without.open(early, NOW + 99) == GRANT
    signed_by(NEW, NOW + 100)
    assert book.open(early, NOW + 100) == GRANT
    late = book.seal(GRANT, NOW + 100)
    with pytest.raises(CapabilityError):
        without.open(late, NOW + 100)
    # A clock that was ahead is set back.
    signed_by(OLD, NOW + 99)
    assert book.open(late, NOW + 99) == GRANT


def test_without_a_valid_key_nothing_starts() -> None:
    with pytest.raises(ConfigError):
        tickets(Key(1, NEW, 0, expires_s=NOW))
