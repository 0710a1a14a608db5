"""The gate: keys that expire, and the way to the master."""

import errno

import pytest

from thesan.core.authority.capability import Capability, Op, Signer, hash_path
from thesan.core.authority.keytab import Key, Keytab
from thesan.core.model.errors import CapabilityError, OperationError
from thesan.core.wire import bodies
from thesan.core.wire.responses import HEAD
from thesan.roles.fst.gate import Gate


def test_the_way_to_the_master(bench):
    async def body(b):
        gate = b.fsts[0].parts.gate
        await b.mgm.until_beat(lambda beat: True)
        frame = gate.to_master(b"\1\2", "fst1", "enoent")
        assert HEAD.unpack_from(frame)[1] == 4004
        target = bodies.parse_redirect(frame[HEAD.size :])
        assert target.cgi == "tried=fst1&triedrc=enoent"
        assert bodies.parse_redirect(gate.to_master(b"\1\2")[HEAD.size :]).cgi == ""
        b.fsts[0].parts.mgms.master = ""
        assert gate.to_master(b"\1\2") is None

    bench(body)


def test_tickets(bench):
    async def body(b):
        gate = b.fsts[0].parts.gate
        assert gate.has_ticket("a=b&cap=x")
        assert gate.has_ticket("tpc.key=1")
        assert not gate.has_ticket("capx=1&a=cap")

        class Connection:
            user, pid, peer_host = "u", 1, "h"

        with pytest.raises(OperationError) as caught:
            gate.check(Connection, (Op.READ,), "/f", {})
        assert caught.value.errno == errno.EACCES
        cgi = {"cap": b.cap(Op.READ, 7, "/f")}
        capability, store = gate.check(Connection, (Op.READ,), "/f", cgi)
        assert (capability.fid, store) == (7, b.store())

    bench(body)


def test_a_key_that_expires_opens_nothing_any_more(bench):
    async def body(b):
        parts = b.fsts[0].parts
        world = b.worlds[0]
        now_s = world.clock.now_ns() // 10**9
        old, new = Key(1, b"o" * 32, 1, now_s + 50), Key(2, b"n" * 32, 2)

        class Clock:
            now = now_s

            def now_ns(self):
                return self.now * 10**9

        clock = Clock()
        gate = Gate(Keytab((new, old)), parts.node, parts.heart, parts.fleet, parts.mgms, clock)

        class Connection:
            user, pid, peer_host = "u", 1, "h"

        def cap(secret):
            template = Capability(
                int(Op.READ),
                7,
                parts.node,
                1,
                hash_path("/f"),
                0,
                1,
                1,
                1,
                clock.now,
                clock.now + 300,
                world.entropy.token(12),
            )
            return {"cap": Signer(secret).sign(template)}

        for secret in (old.secret, new.secret):
            gate.check(Connection, (Op.READ,), "/f", cap(secret))
        clock.now += 100
        gate.check(Connection, (Op.READ,), "/f", cap(new.secret))
        with pytest.raises(CapabilityError):
            gate.check(Connection, (Op.READ,), "/f", cap(old.secret))

    bench(body)


def test_a_ticket_proves_its_epoch(bench):
    async def body(b):
        gate, mgms = b.fsts[0].parts.gate, b.fsts[0].parts.mgms
        await b.mgm.until_beat(lambda beat: True)

        class Connection:
            user, pid, peer_host = "u", 1, "h"

        old = {"cap": b.cap(Op.READ, 7, "/f")}
        gate.check(Connection, (Op.READ,), "/f", {"cap": b.cap(Op.READ, 7, "/f", epoch=9)})
        assert (mgms.epoch, mgms.master) == (9, "")
        with pytest.raises(CapabilityError) as caught:
            gate.check(Connection, (Op.READ,), "/f", old)
        assert HEAD.unpack_from(gate.refused(b"\1\2", caught.value))[1] == 4005, "wait"
        mgms.heard(9, "h:1")
        assert HEAD.unpack_from(gate.refused(b"\1\2", caught.value))[1] == 4004, "redirect"
        assert gate.refused(b"\1\2", CapabilityError("forged")) is None

    bench(body)
