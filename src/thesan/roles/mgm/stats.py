"""Stat texts: what of a file fits XRootD's nine fields, rendered once and kept on the inode."""

from typing import TYPE_CHECKING, Final

from thesan.core.model.identity import Identity
from thesan.core.model.units import NS_PER_S
from thesan.core.namespace.acl import rights
from thesan.core.namespace.inode import PERMISSION_BITS, S_IFDIR, S_IFLNK, S_IFMT, Inode
from thesan.core.wire.numbers import StatFlag

if TYPE_CHECKING:
    from thesan.roles.mgm.master import Master

_IS_DIR: Final = int(StatFlag.IS_DIR)
_OTHER: Final = int(StatFlag.OTHER)
_OFFLINE: Final = int(StatFlag.OFFLINE)
_READABLE: Final = int(StatFlag.READABLE)
_WRITABLE: Final = int(StatFlag.WRITABLE)
_FLAGS_OF_RIGHTS: Final = tuple(
    (_READABLE if bits & 4 else 0)
    | (_WRITABLE if bits & 2 else 0)
    | (int(StatFlag.XSET) if bits & 1 else 0)
    for bits in range(8)
)
"""StatFlag bits of a caller's rwx."""


def template(master: "Master", inode: Inode) -> bytes:
    """The nine fields without NUL, `%d` in the place of the flags, which depend on the caller.

    `id size flags mtime ctime atime mode owner group`. The id is the fid, which is never 0; there
    is no access time, so mtime stands for it, as with noatime mounts.
    """
    text = inode.text
    if text is None:
        now_s = master.now_s()
        mtime = inode.mtime_ns // NS_PER_S
        owner = master.names.user(inode.uid, now_s)
        group = master.names.group(inode.gid, now_s)
        text = (
            f"{inode.fid} {inode.size} %d {mtime} {inode.ctime_ns // NS_PER_S} {mtime} "
            f"{inode.mode & PERMISSION_BITS:04o} "
            f"{owner.replace('%', '%%')} {group.replace('%', '%%')}"
        ).encode()
        inode.text = text
    return text


def flags_of(master: "Master", inode: Inode, who: Identity) -> int:
    """StatFlag bits for this caller."""
    flags = _FLAGS_OF_RIGHTS[rights(inode, who, master.tree.directories.get(inode.parent))]
    kind = inode.mode & S_IFMT
    if kind == S_IFDIR:
        return flags | _IS_DIR
    if kind == S_IFLNK:
        return flags | _OTHER
    dark = master.dark
    if dark and inode.locations and dark.issuperset(inode.locations):
        return flags | _OFFLINE
    return flags
