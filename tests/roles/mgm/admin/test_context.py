"""The stand-in MGM of these tests keeps the promise that the verbs rely on."""

import msgspec

from thesan.core.control.messages import AdminReply
from thesan.core.namespace.ops import ConfigSet, encode_op
from thesan.roles.mgm.admin.context import AdminContext, Change


def test_the_mgm_of_these_tests_is_one_as_the_verbs_want_it(mgm):
    members = [name for name in vars(AdminContext) if not name.startswith("_")]
    assert "namespace" in members
    assert [name for name in members if not hasattr(mgm, name)] == []


def test_a_change_can_be_remembered_whole():
    reply = AdminReply(records=[{"id": 1}], text="done")
    change = Change([ConfigSet("fs", "1", b"x")], reply)
    assert all(encode_op(op) for op in change.ops)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(change.reply), type=AdminReply) == reply
