"""The command table: who may do what, and nothing left out."""

import errno
import typing

import pytest

from thesan.core.authority.commands import (
    COMMANDS,
    DAEMON_NOUN,
    FILE_NOUN,
    Command,
    Who,
    authorise,
    find,
    is_admin,
    may,
)
from thesan.core.control import messages
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import NOBODY, ROOT, Identity

USER = Identity(uid=1000, gid=100, gids=(100,), name="alice", prot="unix")
ADM = Identity(uid=3, gid=100, gids=(100,), name="adm", prot="unix")
ADM_MEMBER = Identity(uid=1001, gid=100, gids=(100, 4), name="bob", prot="unix")
SUDOER = Identity(uid=1002, gid=100, gids=(100,), name="carol", prot="unix", sudoer=True)
FST = Identity(uid=2, gid=2, gids=(2,), name="fst1:1095", prot="thk", daemon="fst")
MGM = Identity(uid=2, gid=2, gids=(2,), name="mgm1:1094", prot="thk", daemon="mgm")
MOUNT = Identity(uid=2, gid=2, gids=(2,), name="m", prot="thk", daemon="mount")
PEOPLE = (NOBODY, USER, ADM, ADM_MEMBER, SUDOER, ROOT)


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        (Who.ANYONE, (NOBODY, USER, ADM, ADM_MEMBER, SUDOER, ROOT, FST, MGM, MOUNT)),
        (Who.OWNER, (NOBODY, USER, ADM, ADM_MEMBER, SUDOER, ROOT, FST, MGM, MOUNT)),
        (Who.ADM, (ADM, ADM_MEMBER, SUDOER, ROOT)),
        (Who.ROOT, (SUDOER, ROOT)),
        (Who.DAEMON, (FST, MGM)),
    ],
)
def test_roles(who, allowed):
    everybody = (*PEOPLE, FST, MGM, MOUNT)
    assert [identity for identity in everybody if may(who, identity)] == list(allowed)


def test_admins():
    assert [identity for identity in PEOPLE if is_admin(identity)] == [
        ADM,
        ADM_MEMBER,
        SUDOER,
        ROOT,
    ]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda one: f"{one.noun} {one.verb}")
def test_each_command_is_sound(command: Command):
    assert command.noun.islower()
    assert command.help
    assert not command.help.endswith(".")
    assert len(command.help) <= 70
    if command.mutates and command.noun != FILE_NOUN:
        assert command.who in (Who.ADM, Who.ROOT, Who.DAEMON, Who.BEARER), "by a role"
    for identity in (*PEOPLE, FST):
        if may(command.who, identity):
            assert authorise(command.noun, command.verb, identity) is command
        else:
            with pytest.raises(OperationError) as caught:
                authorise(command.noun, command.verb, identity)
            assert caught.value.errno == errno.EPERM


def test_every_message_of_a_daemon_is_listed():
    tags = {
        str(kind.__struct_config__.tag)
        for kind in typing.get_args(messages.Request)
        if kind not in (messages.Admin, messages.FileOp)
    }
    assert tags == {verb for noun, verb in COMMANDS if noun == DAEMON_NOUN}


def test_the_file_operations_of_the_control_protocol_are_listed():
    verbs = {verb for noun, verb in COMMANDS if noun == FILE_NOUN}
    documented = messages.FileOp.__doc__
    assert documented is not None
    words = set(documented.replace(",", " ").replace(".", " ").replace(":", " ").split())
    assert verbs <= words
    assert {
        "symlink",
        "link",
        "chown",
        "utime",
        "touch",
        "readlink",
        "lstat",
        "acl",
        "info",
    } <= verbs


@pytest.mark.parametrize(
    ("noun", "verb", "text"),
    [
        ("fs", "destroy", "fs has no verb 'destroy': ls, status, add"),
        ("version", "x", "version has no verb 'x': no verb"),
        ("tape", "ls", "there is no command 'tape'"),
    ],
)
def test_unknown_commands(noun, verb, text):
    with pytest.raises(OperationError, match=text) as caught:
        find(noun, verb)
    assert caught.value.errno == errno.EINVAL
