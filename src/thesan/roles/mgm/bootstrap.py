"""What a fresh instance begins with: somebody who may configure it."""

from thesan.core.authority.rules import VID_SECTION, parse_rule
from thesan.core.namespace.ops import ConfigSet, Op
from thesan.ports.host import Host
from thesan.roles.mgm.config import MgmConfig

_LOOPBACK = ("127.*", "::1", "::ffff:127.*")
"""Hosts from which a trusted user of this machine comes."""


def first_ops(config: MgmConfig, host: Host) -> list[Op]:
    """Ops for the first start of all: vid rules that make the trusted users root.

    Nobody else is root then but who holds the keytab.
    """
    ops: list[Op] = []
    for uid in config.trust_users:
        name = host.user_name(uid)
        for address in _LOOPBACK:
            for kind in ("uid", "gid"):
                key = f'unix:"{name}@{address}":{kind}'
                parse_rule(key, "0")
                ops.append(ConfigSet(VID_SECTION, key, b"0"))
    return ops
