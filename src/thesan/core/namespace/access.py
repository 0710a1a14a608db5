"""The permission questions of POSIX, each answered by an exception or nothing.

uid 0 passes all of them. Where neither bits nor ACL allow it is EACCES; what an ACL, the sticky bit
or ownership forbids is EPERM.
"""

import errno

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ADM_GID, ADM_UID, Identity
from thesan.core.namespace import acl
from thesan.core.namespace.inode import S_ISVTX, Directory, Inode


def _refuse(number: int, what: str, inode: Inode) -> OperationError:
    name = inode.name or "/"
    return OperationError(number, f"no permission to {what} {name!r}")


def check_search(directory: Directory, who: Identity) -> None:
    """Walk through the directory."""
    if who.uid and not directory.open_x and not acl.rights(directory, who) & 1:
        raise _refuse(errno.EACCES, "search", directory)


def check_list(directory: Directory, who: Identity) -> None:
    """List the directory."""
    if who.uid and not acl.rights(directory, who) & 4:
        raise _refuse(errno.EACCES, "list", directory)


def check_read(parent: Directory, inode: Inode, who: Identity) -> None:
    """Read a file's content or attributes."""
    if who.uid and not acl.rights(inode, who, parent) & 4:
        raise _refuse(errno.EACCES, "read", inode)


def check_write(parent: Directory, inode: Inode, who: Identity) -> None:
    """Change a file's content or a user attribute."""
    if who.uid == 0:
        return
    directory = inode if isinstance(inode, Directory) else parent
    granted, denied = acl.verdict(directory, who, None if directory is inode else inode)
    if denied & acl.UPDATE or granted & acl.IMMUTABLE:
        raise _refuse(errno.EPERM, "update", inode)
    if not acl.rights(inode, who, parent) & 2:
        raise _refuse(errno.EACCES, "write", inode)


def check_create(directory: Directory, who: Identity) -> None:
    """Make an entry in the directory."""
    if who.uid == 0:
        return
    granted, _ = acl.verdict(directory, who)
    if granted & acl.IMMUTABLE:
        raise _refuse(errno.EPERM, "write in the immutable directory", directory)
    bits = acl.rights(directory, who)
    if not bits & 2 or not (bits & 1 or granted & (acl.WRITE | acl.WRITE_ONCE)):
        raise _refuse(errno.EACCES, "write in", directory)


def check_remove(directory: Directory, inode: Inode, who: Identity) -> None:
    """Take an entry out of the directory."""
    if who.uid == 0:
        return
    granted, denied = acl.verdict(directory, who)
    if granted & acl.IMMUTABLE or denied & acl.DELETE:
        raise _refuse(errno.EPERM, "delete", inode)
    bits = acl.mode_bits(directory, who)
    may = bits & 3 == 3 and not denied & acl.WRITE
    if not (may or granted & (acl.WRITE | acl.DELETE)):
        raise _refuse(errno.EACCES, "delete", inode)
    if directory.mode & S_ISVTX and who.uid not in (inode.uid, directory.uid):
        raise _refuse(errno.EPERM, "delete from the sticky directory", inode)


def check_chmod(parent: Directory, inode: Inode, who: Identity) -> None:
    """Change permission bits."""
    if who.uid == 0:
        return
    directory = inode if isinstance(inode, Directory) else parent
    granted, denied = acl.verdict(directory, who, None if directory is inode else inode)
    if denied & acl.CHMOD or not (who.uid == inode.uid or granted & acl.CHMOD):
        raise _refuse(errno.EPERM, "change the mode of", inode)


def check_chown(inode: Inode, who: Identity, uid: int | None, gid: int | None) -> None:
    """Change owner (root, or who has `c` on a directory) or group (the owner, to his own)."""
    if who.uid == 0:
        return
    if isinstance(inode, Directory) and acl.verdict(inode, who)[0] & acl.CHOWN:
        return
    if uid is not None and uid != inode.uid:
        raise _refuse(errno.EPERM, "change the owner of", inode)
    if who.uid != inode.uid or (gid is not None and gid != inode.gid and gid not in who.gids):
        raise _refuse(errno.EPERM, "change the group of", inode)


def check_owner(inode: Inode, who: Identity, what: str) -> None:
    """What only the owner may do."""
    if who.uid not in (0, inode.uid):
        raise _refuse(errno.EPERM, what, inode)


def check_sys_xattr(directory: Directory, who: Identity, name: str) -> None:
    """Change a sys.* attribute: administrators, or who has A (sys.acl) or X (all others)."""
    if is_admin(who):
        return
    needed = acl.SYS_ACL if name == "sys.acl" else acl.SYS_XATTR
    if not acl.verdict(directory, who)[0] & needed:
        raise _refuse(errno.EPERM, f"change {name} of", directory)


def is_admin(who: Identity) -> bool:
    """Root, a sudoer, or a member of the administrators' account."""
    return who.uid in (0, ADM_UID) or who.sudoer or ADM_GID in who.gids


def acting(directory: Directory, who: Identity) -> tuple[Identity, bool]:
    """(who acts in this directory, whether entries belong to the directory's owner), by
    `sys.owner.auth`: a list of `protocol:name`, for each of which the caller acts as the owner;
    `*`: everybody stays who he is, but what he makes belongs to the owner."""
    value = directory.xattrs.get("sys.owner.auth") if directory.xattrs is not None else None
    if value is None or who.uid == 0:
        return who, False
    text = value.decode(errors="replace").strip()
    if text == "*":
        return who, True
    if f"{who.prot}:{who.name}" in text.replace("|", ",").split(","):
        owner = Identity(
            directory.uid,
            directory.gid,
            (directory.gid,),
            who.name,
            who.prot,
            who.host,
            who.sudoer,
            who.daemon,
            who.app,
        )
        return owner, False
    return who, False
