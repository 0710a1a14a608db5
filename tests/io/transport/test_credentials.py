"""What each method says, and what it makes of the server's words."""

import errno

import pytest

from thesan.core.authority.keytab import Key, make_keytab
from thesan.core.authority.thk import ThkServer
from thesan.core.model.errors import OperationError
from thesan.io.transport import credentials

KEYS = make_keytab([Key(3, b"s" * 32, 1)])


class Entropy:
    def token(self, byte_count: int) -> bytes:
        return b"c" * byte_count


class Clock:
    def now_ns(self) -> int:
        return 10**18


def test_plain_methods():
    unix = credentials.unix("me", "us")
    assert (unix.name, unix.begin().answer("")) == ("unix", b"unix\0me us\0")
    exchange = credentials.host().begin()
    assert exchange.answer("anything").startswith(b"host\0")
    exchange.check(b"whatever")
    with pytest.raises(OperationError) as caught:
        exchange.more(b"again")
    assert caught.value.errno == errno.EBADE


def test_keytab_both_sides():
    method = credentials.keytab(KEYS, "fst", "node:1", entropy=Entropy(), clock=Clock())
    assert method.name == "thk"
    server = ThkServer(b"n" * 32)
    exchange = method.begin()
    answer = exchange.answer(server.offer.removeprefix("&P=thk,"))
    peer, proof = server.accept(answer, KEYS, 10**9)
    assert (peer.role, peer.name, peer.key_number) == ("fst", "node:1", 3)
    exchange.check(proof)
    with pytest.raises(OperationError):
        exchange.check(proof)
    with pytest.raises(OperationError, match="unreadable"):
        method.begin().answer("00ff")


def test_a_keytab_of_expired_keys_is_a_failed_login():
    expired = make_keytab([Key(3, b"s" * 32, 1, expires_s=10**9)])
    method = credentials.keytab(expired, "fst", "node:1", entropy=Entropy(), clock=Clock())
    with pytest.raises(OperationError, match="every key of the keytab has expired") as caught:
        method.begin()
    assert caught.value.errno == errno.EBADE


def test_a_login_asks_which_key_signs_now():
    keys = make_keytab([*KEYS.keys, Key(4, b"n" * 32, 10**9)])

    class Moving:
        now = 10**18 - 1

        def now_ns(self) -> int:
            return self.now

    clock = Moving()
    method = credentials.keytab(keys, "fst", "node:1", entropy=Entropy(), clock=clock)
    for number in (3, 4):
        server = ThkServer(b"n" * 32)
        answer = method.begin().answer(server.offer.removeprefix("&P=thk,"))
        assert server.accept(answer, keys, 10**9)[0].key_number == number
        clock.now = 10**18
