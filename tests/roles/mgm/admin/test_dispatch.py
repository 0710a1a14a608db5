"""Every command has its verb; reads read, changes come back as ops."""

import errno

import pytest

from thesan.core.authority.commands import COMMANDS, DAEMON_NOUN, FILE_NOUN
from thesan.core.control.messages import Admin, AdminReply, decode_reply, encode_reply
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ROOT
from thesan.roles.mgm.admin.context import Change
from thesan.roles.mgm.admin.dispatch import VERBS, run

ADMIN_COMMANDS = [
    command for command in COMMANDS.values() if command.noun not in (FILE_NOUN, DAEMON_NOUN)
]


def test_every_command_has_its_verb_and_every_verb_its_command():
    assert {(one.noun, one.verb) for one in ADMIN_COMMANDS} == set(VERBS)


@pytest.mark.parametrize("command", ADMIN_COMMANDS, ids=lambda one: f"{one.noun} {one.verb}")
def test_arguments_that_no_verb_knows_are_refused(mgm, command):
    mgm.grow(1)
    message = Admin(noun=command.noun, verb=command.verb, args={"bogus": "x", "fs": "1"})
    with pytest.raises(OperationError) as caught:
        run(mgm, message, ROOT)
    assert caught.value.errno == errno.EINVAL


READS = [
    ("ns stat", {}),
    ("version", {}),
    ("config ls", {}),
    ("ns master", {}),
    ("mgm ls", {}),
    ("who", {}),
    ("whoami", {}),
    ("fs ls", {}),
    ("fs status", {"fs": "1"}),
    ("node ls", {}),
    ("node status", {"node": "fst1:1095"}),
    ("group ls", {}),
    ("space ls", {}),
    ("space status", {"space": "default"}),
    ("space place", {}),
    ("vid ls", {}),
    ("quota ls", {}),
    ("file info", {"path": "/f"}),
    ("file check", {"path": "/f"}),
]


@pytest.mark.parametrize(("command", "args"), READS, ids=[name for name, _ in READS])
def test_what_only_reads_changes_nothing_and_can_be_sent(mgm, command, args):
    mgm.grow(2)
    mgm.make_file("f", (1, 2))
    noun, _, verb = command.partition(" ")
    assert not COMMANDS[noun, verb].mutates
    before = mgm.namespace.op_count
    reply = run(mgm, Admin(noun=noun, verb=verb, args=args), ROOT)
    assert isinstance(reply, AdminReply)
    assert mgm.namespace.op_count == before
    assert decode_reply(encode_reply(reply)) == reply


def test_the_list_above_is_complete():
    listed = {tuple((name + " ").split(" ")[:2]) for name, _ in READS}
    assert listed == {(one.noun, one.verb) for one in ADMIN_COMMANDS if not one.mutates}


def test_what_changes_comes_back_as_ops_and_is_not_applied(mgm):
    before = mgm.namespace.op_count
    outcome = run(mgm, Admin(noun="vid", verb="enable", args={"prot": "unix"}), ROOT)
    assert isinstance(outcome, Change)
    assert len(outcome.ops) == 2
    assert mgm.namespace.op_count == before


@pytest.mark.parametrize(
    ("noun", "verb"), [(FILE_NOUN, "touch"), (DAEMON_NOUN, "beat"), ("x", "y")]
)
def test_what_is_no_admin_command(mgm, noun, verb):
    with pytest.raises(OperationError):
        run(mgm, Admin(noun=noun, verb=verb), ROOT)
