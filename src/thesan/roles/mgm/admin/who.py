"""`who` and `whoami`: who is connected, and as whom."""

from typing import Any

from thesan.core.authority.commands import is_admin
from thesan.core.control.messages import AdminReply
from thesan.core.model.identity import Identity
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.admin.context import AdminContext, Args


def who(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Sessions by authentication protocol, by user, and one by one, as EOS' `who -m`.

    Host names of others are shown to admins only.
    """
    Arguments(args).done()
    sessions = context.sessions()
    by_auth: dict[str, int] = {}
    by_uid: dict[int, int] = {}
    for session in sessions:
        by_auth[session.identity.prot] = by_auth.get(session.identity.prot, 0) + 1
        by_uid[session.identity.uid] = by_uid.get(session.identity.uid, 0) + 1
    records: list[dict[str, Any]] = [
        {"auth": prot, "nsessions": by_auth[prot]} for prot in sorted(by_auth)
    ]
    records += [
        {"uid": uid, "user": context.user_name(uid), "nsessions": by_uid[uid]}
        for uid in sorted(by_uid)
    ]
    open_to_all = is_admin(identity)
    for session in sessions:
        other = session.identity
        is_mine = (other.uid, other.host) == (identity.uid, identity.host)
        records.append(
            {
                "client": f"{session.user}@{other.host}" if open_to_all or is_mine else "***",
                "uid": other.uid,
                "auth": other.prot,
                "idle": int(session.idle_s),
                "gateway": "",
                "app": other.app,
                "daemon": other.daemon,
            }
        )
    records.append({"nclients": len(sessions)})
    return AdminReply(records=records)


def whoami(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """The identity that the caller is mapped to; keys of EOS' `whoami -m` first."""
    Arguments(args).done()
    record = {
        "uid": identity.uid,
        "uids": [identity.uid],
        "gid": identity.gid,
        "gids": list(identity.gids),
        "authz": identity.prot,
        "sudo": identity.sudoer,
        "name": identity.name,
        "user": context.user_name(identity.uid),
        "group": context.group_name(identity.gid),
        "host": identity.host,
        "daemon": identity.daemon,
        "app": identity.app,
    }
    sudo = "*" if identity.sudoer else ""
    gids = ",".join(str(gid) for gid in identity.gids)
    text = (
        f"Virtual Identity: uid={identity.uid} ({identity.uid}) gid={identity.gid} ({gids}) "
        f"[authz:{identity.prot}] sudo{sudo} host={identity.host}"
    )
    return AdminReply(records=[record], text=text)
