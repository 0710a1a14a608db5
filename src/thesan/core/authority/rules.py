"""Rules of the identity mapping: parsed, checked, indexed.

Rules are configuration in the section `vid`, key = text in EOS' spelling, value = text:

    unix:"<pwd>":uid      0 or a number  who comes by unix: the account of that name, or squashed
    unix:"alice":uid      1000           one user, from anywhere
    unix:"root@10.0.*":uid 0             one user from some hosts
    tident:"unix@gw*":uid 0 or a number  a gateway: its hosts may say who calls; or squash them
    tident:"*@gw1":gid    0 or a number  the same for every protocol but thk
    host:"node7":uid      1000           whoever comes by host authentication from that host
    thk:"fst1:1095":uid   2              who holds the keytab, by the name it gave
    1000:uids, 1000:gids  1001,1002      roles that uid 1000 may take
    1000:root             true           sudoer: may take any role
    geotag:10.0           cern::513      clients whose address starts so are there

Every rule with `:uid` has a twin with `:gid`.
"""

import errno
import re
from collections.abc import Mapping
from typing import Final, assert_never

import msgspec

from thesan.core.model.errors import Corrupt, OperationError
from thesan.core.model.identity import NOBODY_UID
from thesan.core.model.limits import GEOTAG_BYTES_MAX, VID_RULE_BYTES_MAX

VID_SECTION: Final = "vid"
PROTOCOLS: Final = ("unix", "host", "thk")
PASSWORD_DATABASE: Final = "<pwd>"
"""Pattern that stands for every user with an account on the MGM."""
ID_MAX: Final = 2**32 - 2
_NAME_RULE: Final = re.compile(r'(unix|host|thk|tident):"([^"\s\x00-\x1f]{1,255})":(uid|gid)')
_MEMBER_RULE: Final = re.compile(r"(\d{1,10}):(uids|gids|root)")
_GEOTAG_RULE: Final = re.compile(r"geotag:([0-9a-fA-F.:]{1,45})")
_GEOTAG: Final = re.compile(r"[A-Za-z0-9_-]{1,8}(::[A-Za-z0-9_-]{1,8})*")
_TIDENT: Final = re.compile(r"(\*|unix|host)@(.+)")

Ids = tuple[int | None, int | None]
"""(uid, gid) of a pattern; None where there is no rule for it."""


class NameRule(msgspec.Struct, frozen=True):
    """`prot:"pattern":kind` = number."""

    prot: str
    """A protocol, or `tident`."""
    pattern: str
    kind: str
    """uid or gid."""
    number: int


class MemberRule(msgspec.Struct, frozen=True):
    """`uid:kind` = ids."""

    uid: int
    kind: str
    """uids, gids or root."""
    ids: tuple[int, ...]


class GeotagRule(msgspec.Struct, frozen=True):
    """`geotag:prefix` = geotag."""

    prefix: str
    geotag: str


Rule = NameRule | MemberRule | GeotagRule


class HostRule(msgspec.Struct, frozen=True):
    """A name rule whose pattern names hosts."""

    prot: str
    """`*` for all but thk."""
    user: str
    """Empty in tident rules."""
    host: "re.Pattern[str]"
    ids: Ids


class VidRules(msgspec.Struct, frozen=True):
    """All rules, indexed; make them with `parse_rules`."""

    users: dict[tuple[str, str], Ids]
    """By (protocol, pattern without `@`)."""
    users_at: tuple[HostRule, ...]
    tidents: tuple[HostRule, ...]
    """Those of one protocol before those of all."""
    member_uids: dict[int, tuple[int, ...]]
    member_gids: dict[int, tuple[int, ...]]
    sudoers: frozenset[int]
    geotags: tuple[GeotagRule, ...]
    """Longest prefix first."""

    def enabled(self, prot: str) -> bool:
        """True when clients of that protocol are mapped to accounts (`vid enable`)."""
        return (prot, PASSWORD_DATABASE) in self.users


def parse_rules(values: Mapping[str, bytes]) -> VidRules:
    """Rules of the section `vid`. Raises Corrupt: only checked rules were ever stored."""
    numbers: dict[tuple[str, str], dict[str, int]] = {}
    members: dict[str, dict[int, tuple[int, ...]]] = {"uids": {}, "gids": {}, "root": {}}
    geotags: list[GeotagRule] = []
    for key, raw in values.items():
        try:
            rule = parse_rule(key, raw.decode())
        except (OperationError, UnicodeDecodeError) as error:
            raise Corrupt(f"unreadable vid rule {key!r}: {error}") from error
        match rule:
            case GeotagRule():
                geotags.append(rule)
            case MemberRule():
                members[rule.kind][rule.uid] = rule.ids
            case NameRule():
                numbers.setdefault((rule.prot, rule.pattern), {})[rule.kind] = rule.number
            case _:
                assert_never(rule)
    users: dict[tuple[str, str], Ids] = {}
    users_at: list[HostRule] = []
    tidents: list[HostRule] = []
    for (prot, pattern), kinds in sorted(numbers.items()):
        ids = (kinds.get("uid"), kinds.get("gid"))
        user, at, host = pattern.rpartition("@")
        if prot == "tident":
            tidents.append(HostRule(user, "", _wildcard(host), ids))
        elif at:
            users_at.append(HostRule(prot, user, _wildcard(host), ids))
        else:
            users[prot, pattern] = ids
    tidents.sort(key=lambda rule: rule.prot == "*")
    geotags.sort(key=lambda rule: (-len(rule.prefix), rule.prefix))
    return VidRules(
        users=users,
        users_at=tuple(users_at),
        tidents=tuple(tidents),
        member_uids=members["uids"],
        member_gids=members["gids"],
        sudoers=frozenset(members["root"]),
        geotags=tuple(geotags),
    )


def parse_rule(key: str, value: str) -> Rule:
    """One rule. Raises OperationError EINVAL, E2BIG, or EPERM (nobody as sudoer)."""
    if len(key) + len(value) > VID_RULE_BYTES_MAX:
        raise OperationError(errno.E2BIG, f"a rule has at most {VID_RULE_BYTES_MAX} characters")
    found = _GEOTAG_RULE.fullmatch(key)
    if found:
        if not _GEOTAG.fullmatch(value) or len(value) > GEOTAG_BYTES_MAX:
            raise OperationError(errno.EINVAL, f"not a geotag: {value[:80]!r}")
        return GeotagRule(found[1], value)
    found = _MEMBER_RULE.fullmatch(key)
    if found:
        return MemberRule(_parse_id(found[1]), found[2], _parse_members(found, value))
    found = _NAME_RULE.fullmatch(key)
    if not found:
        raise OperationError(errno.EINVAL, f"not a vid rule: {key[:80]!r}")
    prot, pattern, kind = found[1], found[2], found[3]
    if prot == "tident" and not _TIDENT.fullmatch(pattern):
        raise OperationError(errno.EINVAL, f"tident is not prot@host (unix, host, *): {pattern!r}")
    if prot == "host" and "@" in pattern:
        raise OperationError(errno.EINVAL, f"a host rule names a host only: {pattern!r}")
    if prot == "thk" and pattern == PASSWORD_DATABASE:
        raise OperationError(errno.EINVAL, "thk names are no account names: <pwd> means nothing")
    return NameRule(prot, pattern, kind, _parse_id(value))


def _parse_members(found: "re.Match[str]", value: str) -> tuple[int, ...]:
    if found[2] != "root":
        return tuple(_parse_id(text) for text in value.split(",") if text)
    if value != "true":
        raise OperationError(errno.EINVAL, f"a sudoer rule has the value true, not {value[:40]!r}")
    if int(found[1]) == NOBODY_UID:
        raise OperationError(errno.EPERM, "nobody can't be a sudoer")
    return ()


def _parse_id(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > ID_MAX:
        raise OperationError(errno.EINVAL, f"not a uid or gid: {text[:40]!r}")
    return int(text)


def _wildcard(pattern: str) -> "re.Pattern[str]":
    """`*` matches any characters; nothing else is special. For lower-case host names."""
    return re.compile(".*".join(re.escape(part) for part in pattern.lower().split("*")))


NO_RULES: Final = parse_rules({})
