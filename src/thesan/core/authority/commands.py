"""Who may do what: the one table of control commands, for MGM and CLI alike.

`thesan NOUN VERB`, the file operations that XRootD has no request for, and what daemons say to each
other. File operations are judged twice: here for who may ask at all, then by the namespace's
permissions, as every XRootD request is.
"""

import errno
from enum import Enum
from typing import Final, assert_never

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ADM_GID, ADM_UID, DAEMON_UID, Identity


class Who(Enum):
    """Roles, each a superset of the next but for daemons."""

    ANYONE = "anyone"
    """Also nobody."""
    OWNER = "owner"
    """Anyone here; the namespace then asks for ownership or permission."""
    BEARER = "bearer"
    """Anyone here; the verb then asks for a token."""
    ADM = "adm"
    """uid 3, gid 4, and those below."""
    ROOT = "root"
    """uid 0 and sudoers."""
    DAEMON = "daemon"
    """A process that proved the keytab as fst or mgm; not people, not even root."""


class Command(msgspec.Struct, frozen=True):
    """One line of the table."""

    noun: str
    verb: str
    who: Who
    mutates: bool
    """Only a master may do it."""
    help: str


FILE_NOUN: Final = "file-op"
"""Noun of the verbs of control.messages.FileOp."""
DAEMON_NOUN: Final = "daemon"
"""Noun of the messages between daemons, named by their tags."""

_READ, _CHANGE = False, True
_TABLE: Final = (
    Command("ns", "stat", Who.ANYONE, _READ, "namespace, journal and process figures"),
    Command("ns", "master", Who.ANYONE, _READ, "who is master and why; root names another one"),
    Command("mgm", "ls", Who.ANYONE, _READ, "list MGMs"),
    Command("mgm", "add", Who.ROOT, _CHANGE, "make an MGM a member of the instance"),
    Command("mgm", "invite", Who.ROOT, _CHANGE, "a token by which a new MGM can join, once"),
    Command("mgm", "join", Who.BEARER, _CHANGE, "take up an invitation, by its token"),
    Command("mgm", "rm", Who.ROOT, _CHANGE, "take an MGM out of the instance"),
    Command("version", "", Who.ANYONE, _READ, "instance and software versions"),
    Command("who", "", Who.ANYONE, _READ, "connected clients"),
    Command("whoami", "", Who.ANYONE, _READ, "the identity that the MGM maps you to"),
    Command("fs", "ls", Who.ANYONE, _READ, "list filesystems"),
    Command("fs", "status", Who.ANYONE, _READ, "everything known of one filesystem"),
    Command("fs", "add", Who.ROOT, _CHANGE, "add a filesystem to a space"),
    Command(
        "fs", "config", Who.ROOT, _CHANGE, "set configstatus, headroom, forcegeotag and other keys"
    ),
    Command("fs", "boot", Who.ROOT, _CHANGE, "let the FST boot filesystems again"),
    Command("fs", "mv", Who.ROOT, _CHANGE, "move a filesystem to another group or space"),
    Command("fs", "rm", Who.ROOT, _CHANGE, "remove an empty filesystem"),
    Command("fs", "dropdeletion", Who.ROOT, _CHANGE, "forget the pending deletions of a fs"),
    Command("node", "ls", Who.ANYONE, _READ, "list FSTs"),
    Command("node", "status", Who.ANYONE, _READ, "everything known of one FST"),
    Command("node", "set", Who.ROOT, _CHANGE, "switch an FST on or off"),
    Command("node", "config", Who.ROOT, _CHANGE, "set a configuration key of an FST"),
    Command("node", "rm", Who.ROOT, _CHANGE, "remove an FST without filesystems"),
    Command("group", "ls", Who.ANYONE, _READ, "list groups"),
    Command("group", "set", Who.ROOT, _CHANGE, "set a group on, drain or off"),
    Command("group", "rm", Who.ROOT, _CHANGE, "remove a group without filesystems"),
    Command("space", "ls", Who.ANYONE, _READ, "list spaces"),
    Command("space", "status", Who.ANYONE, _READ, "configuration of a space"),
    Command("space", "place", Who.ANYONE, _READ, "explain where a new file would go, and why"),
    Command("space", "define", Who.ROOT, _CHANGE, "define a space: groupsize and groupmod"),
    Command("space", "config", Who.ROOT, _CHANGE, "set a configuration key of a space"),
    Command("space", "set", Who.ROOT, _CHANGE, "switch a space and its groups on or off"),
    Command("space", "rm", Who.ROOT, _CHANGE, "remove a space without filesystems"),
    Command("vid", "ls", Who.ADM, _READ, "list identity rules"),
    Command("vid", "set", Who.ROOT, _CHANGE, "set a mapping, membership, sudoer or geotag rule"),
    Command("vid", "rm", Who.ROOT, _CHANGE, "remove a rule by its key"),
    Command("vid", "enable", Who.ROOT, _CHANGE, "map users of a protocol to their accounts"),
    Command("vid", "disable", Who.ROOT, _CHANGE, "stop mapping users of a protocol"),
    Command("vid", "add", Who.ROOT, _CHANGE, "add a gateway host"),
    Command("vid", "remove", Who.ROOT, _CHANGE, "remove a gateway host"),
    Command("quota", "ls", Who.ANYONE, _READ, "list quota; only root and adm see everybody's"),
    Command("quota", "set", Who.ADM, _CHANGE, "set bytes and files of a user, group or project"),
    Command("quota", "rm", Who.ADM, _CHANGE, "remove a limit of a user, group or project"),
    Command("quota", "rmnode", Who.ROOT, _CHANGE, "a directory is no quota node any more"),
    Command("config", "ls", Who.ADM, _READ, "list the configuration of the instance"),
    Command("file", "info", Who.OWNER, _READ, "everything known of a file or directory"),
    Command("file", "check", Who.OWNER, _READ, "compare a file's replicas with the namespace"),
    Command(FILE_NOUN, "lstat", Who.ANYONE, _READ, "stat without following the last link"),
    Command(FILE_NOUN, "readlink", Who.ANYONE, _READ, "target of a symbolic link"),
    Command(FILE_NOUN, "info", Who.ANYONE, _READ, "everything known of a file or directory"),
    Command(FILE_NOUN, "acl", Who.OWNER, _CHANGE, "show or change sys.acl"),
    Command(FILE_NOUN, "chown", Who.OWNER, _CHANGE, "change owner and group"),
    Command(FILE_NOUN, "link", Who.OWNER, _CHANGE, "make a hard link"),
    Command(FILE_NOUN, "symlink", Who.OWNER, _CHANGE, "make a symbolic link"),
    Command(FILE_NOUN, "touch", Who.OWNER, _CHANGE, "make an empty file, or set its mtime to now"),
    Command(FILE_NOUN, "utime", Who.OWNER, _CHANGE, "set mtime"),
    Command(DAEMON_NOUN, "beat", Who.DAEMON, _READ, "an FST is alive; taken by every MGM"),
    Command(DAEMON_NOUN, "commit", Who.DAEMON, _CHANGE, "a file was closed, its replicas are safe"),
    Command(DAEMON_NOUN, "inquire", Who.DAEMON, _READ, "which fids have a replica here?"),
    Command(DAEMON_NOUN, "fs-register", Who.DAEMON, _CHANGE, "an FST adds its own filesystem"),
    Command(DAEMON_NOUN, "watch", Who.ANYONE, _READ, "tell me of a master with a higher epoch"),
    Command(DAEMON_NOUN, "mgm-beat", Who.DAEMON, _READ, "an MGM is alive; taken by every MGM"),
    Command(DAEMON_NOUN, "checkpoint-page", Who.DAEMON, _READ, "an MGM copies another's store"),
    Command(DAEMON_NOUN, "journal-page", Who.DAEMON, _READ, "an MGM reads another's segments"),
)

COMMANDS: Final = {(command.noun, command.verb): command for command in _TABLE}
assert len(COMMANDS) == len(_TABLE), "a command is listed twice"


def find(noun: str, verb: str) -> Command:
    """The command. Raises OperationError EINVAL that lists what there is."""
    command = COMMANDS.get((noun, verb))
    if command is not None:
        return command
    verbs = [known for (known_noun, known) in COMMANDS if known_noun == noun]
    if verbs:
        listed = ", ".join(known for known in verbs if known) or "no verb"
        raise OperationError(errno.EINVAL, f"{noun[:40]} has no verb {verb[:40]!r}: {listed}")
    raise OperationError(errno.EINVAL, f"there is no command {noun[:40]!r}")


def is_admin(identity: Identity) -> bool:
    """uid 3 or gid 4 (adm), root and sudoers."""
    return may(Who.ADM, identity)


def may(who: Who, identity: Identity) -> bool:
    """True when `identity` is in the role."""
    match who:
        case Who.ANYONE | Who.OWNER | Who.BEARER:
            return True
        case Who.DAEMON:
            return identity.daemon in ("fst", "mgm")
        case Who.ROOT:
            return identity.is_root or identity.sudoer
        case Who.ADM:
            if identity.daemon or identity.uid == DAEMON_UID:
                return False
            adm = identity.uid == ADM_UID or ADM_GID in identity.gids
            return adm or identity.is_root or identity.sudoer
        case _:
            assert_never(who)


def authorise(noun: str, verb: str, identity: Identity) -> Command:
    """The command, if `identity` may give it. Raises OperationError EINVAL or EPERM."""
    command = find(noun, verb)
    if not may(command.who, identity):
        name = f"{command.noun} {command.verb}".rstrip()
        raise OperationError(
            errno.EPERM,
            f"{name} is for {command.who.value}; you are {identity.name} "
            f"(uid {identity.uid}, {identity.prot})",
        )
    return command
