"""From an Admin message to the verb: authorise, find, call.

Every command of the table that is not a file operation or a daemon's message has its verb here;
a test holds the two together.
"""

import errno
from collections.abc import Callable
from typing import Final

from thesan.core.authority.commands import DAEMON_NOUN, FILE_NOUN, authorise
from thesan.core.control.messages import Admin
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.roles.mgm.admin import (
    file,
    fs,
    group,
    invite,
    leadership,
    node,
    ns,
    quota,
    space,
    vid,
    who,
)
from thesan.roles.mgm.admin.context import AdminContext, Args, Outcome

Verb = Callable[[AdminContext, Args, Identity], Outcome]

VERBS: Final[dict[tuple[str, str], Verb]] = {
    ("ns", "stat"): ns.stat,
    ("ns", "master"): leadership.master,
    ("mgm", "ls"): leadership.ls,
    ("mgm", "add"): leadership.add,
    ("mgm", "invite"): invite.invite,
    ("mgm", "join"): invite.join,
    ("mgm", "rm"): leadership.rm,
    ("version", ""): ns.version,
    ("config", "ls"): ns.config,
    ("who", ""): who.who,
    ("whoami", ""): who.whoami,
    ("fs", "ls"): fs.ls,
    ("fs", "status"): fs.status,
    ("fs", "add"): fs.add,
    ("fs", "config"): fs.config,
    ("fs", "boot"): fs.boot,
    ("fs", "mv"): fs.mv,
    ("fs", "rm"): fs.rm,
    ("fs", "dropdeletion"): fs.dropdeletion,
    ("node", "ls"): node.ls,
    ("node", "status"): node.status,
    ("node", "set"): node.set_status,
    ("node", "config"): node.config,
    ("node", "rm"): node.rm,
    ("group", "ls"): group.ls,
    ("group", "set"): group.set_status,
    ("group", "rm"): group.rm,
    ("space", "ls"): space.ls,
    ("space", "status"): space.status,
    ("space", "place"): space.place,
    ("space", "define"): space.define,
    ("space", "config"): space.config,
    ("space", "set"): space.set_status,
    ("space", "rm"): space.rm,
    ("vid", "ls"): vid.ls,
    ("vid", "set"): vid.set_rule,
    ("vid", "rm"): vid.rm,
    ("vid", "enable"): vid.enable,
    ("vid", "disable"): vid.disable,
    ("vid", "add"): vid.add_gateway,
    ("vid", "remove"): vid.remove_gateway,
    ("quota", "ls"): quota.ls,
    ("quota", "set"): quota.set_limit,
    ("quota", "rm"): quota.rm,
    ("quota", "rmnode"): quota.rmnode,
    ("file", "info"): file.info,
    ("file", "check"): file.check,
}


def run(context: AdminContext, message: Admin, identity: Identity) -> Outcome:
    """The outcome of one admin command. Raises OperationError (EPERM, EINVAL, and the verb's own).

    What changes something comes back as a Change, which only a master may apply.
    """
    command = authorise(message.noun, message.verb, identity)
    if command.noun in (FILE_NOUN, DAEMON_NOUN):
        raise OperationError(errno.EINVAL, f"{command.noun} is not an admin command")
    return VERBS[command.noun, command.verb](context, message.args, identity)
