"""`vid`: the rules that map clients to identities (core.authority.rules)."""

import errno

from thesan.core.authority.rules import (
    PASSWORD_DATABASE,
    PROTOCOLS,
    VID_SECTION,
    MemberRule,
    NameRule,
    parse_rule,
)
from thesan.core.control.messages import AdminReply
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.limits import VID_RULES_MAX
from thesan.core.namespace import queries
from thesan.core.namespace.ops import ConfigSet, Op
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.admin.context import AdminContext, Args, Change

_ENABLED_PROTOCOLS = tuple(prot for prot in PROTOCOLS if prot != "thk")
_GATEWAY_PROTOCOLS = (*_ENABLED_PROTOCOLS, "*")


def ls(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """All rules: key and value as they are stored."""
    Arguments(args).done()
    rules = queries.config(context.namespace, VID_SECTION)
    return AdminReply(records=[{"key": key, "value": rules[key].decode()} for key in sorted(rules)])


def set_rule(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Set a rule. `what` says which kind:

    map         prot, pattern, uid and/or gid
    membership  id, and one of uids, gids (lists) and sudo (true, false)
    geotag      prefix, geotag
    rule        key, value as `vid ls` shows them
    """
    arguments = Arguments(args)
    what = arguments.choice("what", ("map", "membership", "geotag", "rule"), "rule")
    rules: dict[str, str | None] = {}
    match what:
        case "map":
            prot, pattern = arguments.text("prot"), arguments.text("pattern")
            for kind in ("uid", "gid"):
                if arguments.has(kind):
                    rules[f'{prot}:"{pattern}":{kind}'] = arguments.text(kind)
        case "membership":
            rules = _membership(arguments)
        case "geotag":
            rules[f"geotag:{arguments.text('prefix')}"] = arguments.text("geotag")
        case _:
            rules[arguments.text("key")] = arguments.text("value")
    arguments.done()
    return _change(context, rules)


def rm(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Remove the rule of that key; `prot:"pattern"` without `:uid` removes both of its rules."""
    arguments = Arguments(args)
    key = arguments.text("key")
    arguments.done()
    stored = queries.config(context.namespace, VID_SECTION)
    keys = [one for one in (key, f"{key}:uid", f"{key}:gid") if one in stored]
    if not keys:
        raise OperationError(errno.ENOENT, f"there is no rule {key[:80]!r}")
    return _change(context, dict.fromkeys(keys))


def enable(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Map the users of a protocol to the accounts of their names."""
    arguments = Arguments(args)
    prot = arguments.choice("prot", _ENABLED_PROTOCOLS)
    arguments.done()
    return _change(context, dict.fromkeys(_both(prot, PASSWORD_DATABASE), "0"))


def disable(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Users of a protocol without a rule of their own are nobody again."""
    arguments = Arguments(args)
    prot = arguments.choice("prot", _ENABLED_PROTOCOLS)
    arguments.done()
    return _change(context, dict.fromkeys(_both(prot, PASSWORD_DATABASE)))


def add_gateway(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Trust a host (pattern) to say who its users are: `vid add gateway HOST [PROT]`."""
    return _gateway(context, args, "0")


def remove_gateway(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Trust a host no more."""
    return _gateway(context, args, None)


def _gateway(context: AdminContext, args: Args, value: str | None) -> Change:
    arguments = Arguments(args)
    host = arguments.text("host")
    prot = arguments.choice("prot", _GATEWAY_PROTOCOLS, "*")
    arguments.done()
    return _change(context, dict.fromkeys(_both("tident", f"{prot}@{host}"), value))


def _membership(arguments: Arguments) -> dict[str, str | None]:
    uid = arguments.number("id", maximum=2**32 - 2)
    rules: dict[str, str | None] = {}
    for kind in ("uids", "gids"):
        if arguments.has(kind):
            ids = arguments.numbers(kind, maximum=2**32 - 2)
            rules[f"{uid}:{kind}"] = ",".join(str(one) for one in ids) or None
    if arguments.has("sudo"):
        rules[f"{uid}:root"] = "true" if arguments.flag("sudo") else None
    return rules


def _both(prot: str, pattern: str) -> tuple[str, str]:
    return f'{prot}:"{pattern}":uid', f'{prot}:"{pattern}":gid'


def _change(context: AdminContext, rules: dict[str, str | None]) -> Change:
    """Ops that set (None: remove) rules, each checked. Raises OperationError EINVAL, ENOSPC."""
    if not rules:
        raise OperationError(errno.EINVAL, "no rule was given")
    stored = queries.config(context.namespace, VID_SECTION)
    added = [key for key, value in rules.items() if value is not None and key not in stored]
    if len(stored) + len(added) > VID_RULES_MAX:
        raise OperationError(errno.ENOSPC, f"there are {VID_RULES_MAX} rules already")
    ops: list[Op] = []
    for key, value in rules.items():
        if value is not None:
            _check(key, value)
        ops.append(ConfigSet(VID_SECTION, key, value.encode() if value is not None else None))
    done = ", ".join(
        f"{key} {'removed' if value is None else '=> ' + value}" for key, value in rules.items()
    )
    return Change(ops, AdminReply(records=[], text=done))


def _check(key: str, value: str) -> None:
    """Refuse a rule that does not parse, or is not written as `vid ls` would show it."""
    rule = parse_rule(key, value)
    if isinstance(rule, MemberRule) and key != f"{rule.uid}:{rule.kind}":
        raise OperationError(errno.EINVAL, f"write {rule.uid}:{rule.kind} instead of {key}")
    if isinstance(rule, NameRule) and value != str(rule.number):
        raise OperationError(errno.EINVAL, f"write {rule.number} instead of {value}")
