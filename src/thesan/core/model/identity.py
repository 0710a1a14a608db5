"""Who calls: the virtual identity (vid) that every permission check takes."""

import msgspec

NOBODY_UID = 99
"""uid and gid of whoever is not mapped, as in EOS."""
DAEMON_UID = 2
"""uid of thesan's own daemons, as EOS' sss default."""
ROOT_UID = 0
ADM_UID = 3
"""Members may use admin commands that change no data (quota, routes), as in EOS."""
ADM_GID = 4


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The result of authentication and vid mapping; lives as long as the session."""

    uid: int = NOBODY_UID
    gid: int = NOBODY_UID
    gids: tuple[int, ...] = (NOBODY_UID,)
    """All groups, `gid` among them."""
    name: str = "nobody"
    prot: str = "none"
    """Authentication protocol: none, unix, host, thk."""
    host: str = ""
    sudoer: bool = False
    daemon: str = ""
    """Name of the thesan daemon (`fst`, `mgm`) that proved the keytab; empty for people."""
    app: str = ""

    @property
    def is_root(self) -> bool:
        """uid 0 passes every check."""
        return self.uid == ROOT_UID


ROOT = Identity(uid=0, gid=0, gids=(0,), name="root", prot="internal", sudoer=True)
NOBODY = Identity()
