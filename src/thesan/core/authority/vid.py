"""Virtual identities: from what a client proved (protocol, name, host) to uid and gid.

The most specific rule (core.authority.rules) wins, in the order: user at host, user, host, tident
of the protocol, tident of all protocols, `<pwd>`. Who has no rule is nobody, 99:99. Nobody becomes
root but by a rule that names the user (never by `<pwd>` or a gateway), or by proving the keytab as
an administrator: the keytab signs capabilities, so it is the instance's root of trust anyway.
"""

import errno
from typing import Final

import msgspec

from thesan.core.authority.rules import ID_MAX, PASSWORD_DATABASE, Ids, VidRules
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import DAEMON_UID, NOBODY_UID, ROOT_UID, Identity

ADMIN_ROLE: Final = "admin"
"""thk role of a person who holds the keytab."""
_CREDENTIALS_BYTES_MAX: Final = 512

Account = tuple[int, int, tuple[int, ...]]
"""(uid, gid, all gids) of a local user name, from ports.host."""


def evaluate(
    rules: VidRules,
    prot: str,
    name: str,
    host: str,
    account: Account | None = None,
    role: str = "",
) -> Identity:
    """The identity of a client that proved `name` by `prot` from `host`.

    `account` is what the MGM's host knows of `name`; `role` is the thk role of core.authority.thk.
    For `prot` host the name is only claimed: it counts where a gateway rule trusts that host.
    """
    host = host.lower()
    if prot == "thk":
        return _evaluate_keytab(rules, name, host, account, role)
    found = _find(rules, prot, name, host)
    uid = _resolve(found.uid, found.is_open, account[0] if account else None)
    if uid == NOBODY_UID:
        return Identity(prot=prot, host=host)
    own_account = account if account is not None and account[0] == uid else None
    gid = _resolve(found.gid, found.is_open, account[1] if account else None)
    if found.gid is None and own_account is not None:
        gid = own_account[1]
    gids = own_account[2] if own_account is not None else ()
    return _identity(rules, uid, gid, gids, name, prot, host)


class _Found(msgspec.Struct, frozen=True):
    """What the winning rule says."""

    uid: int | None = None
    gid: int | None = None
    is_open: bool = True
    """The rule names no user: 0 stands for the account's id."""


def _find(rules: VidRules, prot: str, name: str, host: str) -> _Found:
    for rule in rules.users_at:
        if rule.prot == prot and rule.user == name and rule.host.fullmatch(host):
            return _Found(*rule.ids, is_open=False)
    ids: Ids | None = None
    named = host if prot == "host" else name
    if named != PASSWORD_DATABASE:
        ids = rules.users.get((prot, named))
    if ids is not None:
        return _Found(*ids, is_open=False)
    if prot == "thk":
        return _Found()
    for rule in rules.tidents:
        if rule.prot in ("*", prot) and rule.host.fullmatch(host):
            return _Found(*rule.ids)
    return _Found(*rules.users.get((prot, PASSWORD_DATABASE), (None, None)))


def _resolve(number: int | None, is_open: bool, account_id: int | None) -> int:
    """One id of a rule. In an open rule 0 stands for the account's id, but never for root."""
    if number is None:
        return NOBODY_UID
    if number != 0 or not is_open:
        return number
    return account_id if account_id else NOBODY_UID


def _evaluate_keytab(
    rules: VidRules, name: str, host: str, account: Account | None, role: str
) -> Identity:
    found = _find(rules, "thk", name, host)
    fallback = ROOT_UID if role == ADMIN_ROLE else DAEMON_UID
    uid = fallback if found.uid is None else found.uid
    gid = fallback if found.gid is None else found.gid
    if role != ADMIN_ROLE:
        return Identity(uid, gid, (gid,), name, "thk", host, daemon=role)
    gids = account[2] if account is not None and account[0] == uid else ()
    return _identity(rules, uid, gid, gids, name, "thk", host)


def _identity(
    rules: VidRules, uid: int, gid: int, gids: tuple[int, ...], name: str, prot: str, host: str
) -> Identity:
    return Identity(
        uid=uid,
        gid=gid,
        gids=tuple(dict.fromkeys((gid, *gids))),
        name=name,
        prot=prot,
        host=host,
        sudoer=uid in rules.sudoers or uid == ROOT_UID,
    )


def switch_role(rules: VidRules, identity: Identity, uid: int, gid: int) -> Identity:
    """The identity that `-r UID GID` asks for. Raises OperationError EPERM, EINVAL.

    Sudoers take any role; others one of their memberships, or their own ids. A sudoer who became
    somebody else acts as that one and is no sudoer then.
    """
    if not 0 <= uid <= ID_MAX or not 0 <= gid <= ID_MAX:
        raise OperationError(errno.EINVAL, f"not a uid and gid: {uid} {gid}")
    if not identity.sudoer:
        uids = (identity.uid, *rules.member_uids.get(identity.uid, ()))
        gids = (*identity.gids, *rules.member_gids.get(identity.uid, ()))
        if identity.uid == NOBODY_UID or uid not in uids or gid not in gids:
            raise OperationError(
                errno.EPERM, f"uid {identity.uid} may not take the role {uid} {gid}"
            )
    return msgspec.structs.replace(
        identity,
        uid=uid,
        gid=gid,
        gids=(gid,),
        daemon="",
        sudoer=uid in rules.sudoers or uid == ROOT_UID,
    )


def geotag_of(rules: VidRules, address: str) -> str:
    """Geotag of a client address, by the longest matching prefix; empty when no rule fits."""
    for rule in rules.geotags:
        if address.startswith(rule.prefix):
            return rule.geotag
    return ""


def unix_user(credentials: bytes) -> str:
    """User name in the credentials of XRootD's unix protocol: `unix\\0user group\\0`.

    Raises OperationError EBADE (kXR_AuthFailed).
    """
    kind, _, rest = credentials[:_CREDENTIALS_BYTES_MAX].partition(b"\0")
    name = rest.partition(b"\0")[0].partition(b" ")[0]
    try:
        user = name.decode("ascii")
    except UnicodeDecodeError:
        user = ""
    if kind != b"unix" or not 0 < len(user) <= 255 or not user.isprintable():
        raise OperationError(errno.EBADE, "authentication failed: unix credentials are unreadable")
    return user
