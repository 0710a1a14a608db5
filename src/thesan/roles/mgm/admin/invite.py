"""`mgm invite` and `mgm join`: how an MGM is added by a token that works once.

See core.authority.invitation for what is sealed under what. Members are in the journal only from
the join on: a token that is never used leaves nothing behind.
"""

import errno
from typing import Final

from thesan.core.authority.invitation import (
    FINGERPRINT_BYTES,
    JOIN_SECTION,
    SECRET_BYTES,
    Invitation,
    JoinRecord,
    decode_join,
    encode_join,
    fingerprint,
    format_token,
    seal,
)
from thesan.core.control.messages import AdminReply
from thesan.core.leadership.records import MEMBER_SECTION, MemberRecord, encode_leadership
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.limits import (
    JOIN_COUNT_MAX,
    JOIN_TOKEN_SECONDS,
    JOIN_TOKEN_SECONDS_MAX,
)
from thesan.core.model.units import NS_PER_S
from thesan.core.namespace import queries
from thesan.core.namespace.ops import ConfigSet, Op
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.admin.context import AdminContext, Args, Change
from thesan.roles.mgm.admin.leadership import check_new_member

_DICE_BYTES: Final = 8
_LOOPBACK: Final = ("127.", "::1", "localhost")


def invite(context: AdminContext, args: Args, identity: Identity) -> Change:
    """A token for a new MGM at an address; the record has `token`, `expires` and `hostport`."""
    arguments = Arguments(args)
    address = arguments.text("mgm")
    seconds = arguments.number("expires", JOIN_TOKEN_SECONDS, maximum=JOIN_TOKEN_SECONDS_MAX)
    geotag = arguments.text("geotag", "")
    arguments.done()
    config, figures = context.config, context.figures()
    check_new_member(context, address)
    _check_journal(config.journal, address, figures.address)
    now_s = context.now_ns // NS_PER_S
    waiting = {
        key: decode_join(data)
        for key, data in queries.config(context.namespace, JOIN_SECTION).items()
    }
    # An invitation to the same address takes the place of the one before.
    stale = [
        key for key, one in waiting.items() if one.expires_s <= now_s or one.address == address
    ]
    if len(waiting) - len(stale) >= JOIN_COUNT_MAX:
        text = f"{JOIN_COUNT_MAX} invitations wait already: use them, or let them expire"
        raise OperationError(errno.ENOSPC, text)
    secret = b"".join(
        context.dice().to_bytes(_DICE_BYTES, "big") for _ in range(SECRET_BYTES // _DICE_BYTES)
    )
    invitation = Invitation(
        instance=config.instance,
        address=address,
        keytab=config.keytab,
        journal=config.journal,
        mgms=tuple(dict.fromkeys((*figures.mgms, address))),
        failover=config.failover,
        geotag=geotag,
    )
    expires_s = now_s + seconds
    record = JoinRecord(address, expires_s, seal(invitation, secret), identity.name)
    ops: list[Op] = [ConfigSet(JOIN_SECTION, key, None) for key in stale]
    ops.append(ConfigSet(JOIN_SECTION, fingerprint(secret), encode_join(record)))
    token = format_token(secret, address, expires_s, figures.mgms)
    fields = {"hostport": address, "expires": expires_s, "token": token}
    reply = AdminReply(records=[fields], text=f"an invitation for {address}")
    return Change(ops, reply, is_secret=True)


def join(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Take up an invitation: the caller proves that it has the token by naming its fingerprint,
    which can't be guessed. The record has the sealed `box`; the address is a member from now on."""
    arguments = Arguments(args)
    key = arguments.text("id")
    address = arguments.text("mgm")
    arguments.done()
    data = queries.config(context.namespace, JOIN_SECTION).get(key)
    if data is None or len(key) != 2 * FINGERPRINT_BYTES:
        raise OperationError(
            errno.ENOENT,
            "this token is not known here: it was used, or replaced by a newer one, or it is of "
            "another instance. `thesan mgm add` makes a new one",
        )
    record = decode_join(data)
    if record.expires_s <= context.now_ns // NS_PER_S:
        text = "this token has expired: `thesan mgm add` makes a new one"
        raise OperationError(errno.ESTALE, text)
    if record.address != address:
        text = f"this token is for {record.address}, not for {address[:80]}"
        raise OperationError(errno.EINVAL, text)
    check_new_member(context, address)
    member = encode_leadership(MemberRecord(context.now_ns, f"invited by {record.made_by}"))
    return Change(
        [ConfigSet(JOIN_SECTION, key, None), ConfigSet(MEMBER_SECTION, address, member)],
        AdminReply(
            records=[{"hostport": address, "box": record.box.hex()}],
            text=f"{address} is a member of {context.config.instance}",
        ),
    )


def _check_journal(journal: str, address: str, own: str) -> None:
    """A file can't be shared over a network."""
    host, here = split_address(address)[0], split_address(own)[0]
    is_here = host == here or (host.startswith(_LOOPBACK) and here.startswith(_LOOPBACK))
    if not journal.startswith("etcd:") and not is_here:
        raise OperationError(
            errno.EINVAL,
            f"the journal is {journal.partition(':')[0] or 'a file'}, which only MGMs on this "
            f"machine ({here}) can share: first move it to etcd with `thesan engine migrate`",
        )
