"""Control messages inside kXR_query (opaque): who may send which, and where each is handled."""

import errno
from typing import Final, TypeVar, assert_never

import msgspec

from thesan.core.authority.commands import DAEMON_NOUN, FILE_NOUN, authorise
from thesan.core.authority.vid import switch_role
from thesan.core.control.messages import (
    ACT_AS,
    EPOCH_KEY,
    MAGIC,
    Admin,
    Beat,
    Commit,
    FileOp,
    FileOpReply,
    FsRegister,
    Inquire,
    Reply,
    decode_request,
    encode_reply,
)
from thesan.core.leadership.records import HISTORY_SECTION, stories
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.namespace import queries
from thesan.core.namespace.ops import RememberResult, Result
from thesan.core.wire import responses
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm import any_role, file_operations, fsts
from thesan.roles.mgm.admin import dispatch, fs, leadership
from thesan.roles.mgm.admin.context import Change
from thesan.roles.mgm.beat_answer import BeatAnswer
from thesan.roles.mgm.commits import commit
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.metadata import caller
from thesan.roles.mgm.operations import operation_id
from thesan.roles.mgm.order import Order

Answer = bytes | None
OfRole = Beat | Commit | Inquire | FsRegister | Admin | FileOp
"""What is answered from the object graph of a role; the others are any_role.KINDS."""
_M = TypeVar("_M", Admin, FileOp)
_ROUTING: Final = frozenset({ACT_AS, "any", "seq", "leader"})
"""Arguments of any Admin and FileOp that the verbs know nothing of."""


def control(master: Master, connection: ServerConnection, sid: bytes, body: bytes) -> Answer:
    """Answer one message. Raises OperationError; ControlError for what can't be read."""
    if not body.startswith(MAGIC):
        raise OperationError(errno.ENOTSUP, "opaque queries are thesan's control messages only")
    message = decode_request(body)
    if isinstance(message, any_role.KINDS):
        return any_role.answer(master.process, connection, sid, message)
    if isinstance(message, Beat):
        authorise(DAEMON_NOUN, "beat", caller(connection))
        master.process.fst_links.check(message.node, connection)
        master.process.fst_links.note_process(message.node, message.boot_id, connection)
        master.process.note_beat(message, master.now_s())
    return handle_message(master, connection, sid, message)


def handle_message(
    master: Master, connection: ServerConnection, sid: bytes, message: OfRole
) -> Answer:
    """Answer one message from what this role knows. Raises OperationError."""
    master.figures.count(type(message))
    who = caller(connection)
    match message:
        case Beat():
            authorise(DAEMON_NOUN, "beat", who)
            return _beat(master, connection, sid, message)
        case Commit():
            authorise(DAEMON_NOUN, "commit", who)
            return _commit(master, connection, sid, message)
        case Inquire():
            authorise(DAEMON_NOUN, "inquire", who)
            return _send(master, connection, sid, fsts.inquire(master, message))
        case FsRegister():
            authorise(DAEMON_NOUN, "fs-register", who)
            return _register(master, connection, sid, message)
        case Admin():
            return _admin(master, connection, sid, message)
        case FileOp():
            return _file_op(master, connection, sid, message)
        case _:
            assert_never(message)


def _send(master: Master, connection: ServerConnection, sid: bytes, reply: Reply) -> Answer:
    """What shows anything that is in memory waits until all of that is durable."""
    data = responses.ok(sid, encode_reply(reply))
    return master.pipeline.answer_at_head(connection, data)


def _beat(master: Master, connection: ServerConnection, sid: bytes, message: Beat) -> Answer:
    """At once what every MGM knows; what only the master knows, when it is durable, and never so
    late that the FST, which waits for it, seems silent."""
    taken = fsts.beat(master, message)
    data = responses.ok(sid, encode_reply(taken))
    if not taken.master:
        return data

    def without_news() -> bytes:
        return responses.ok(sid, encode_reply(master.process.standby_reply(message)))

    held = BeatAnswer(connection, without_news)
    answer = master.pipeline.answer_at_head(held, data)
    if answer is None:
        held.limit()
    return answer


def _commit(master: Master, connection: ServerConnection, sid: bytes, message: Commit) -> Answer:
    """One that was sent before this mastership may be late, and done under another one since. If
    it is not, the FST sends it again as soon as it knows of this one."""
    master.process.fst_links.check(message.node, connection)
    if message.epoch < master.epoch:
        host, port = split_address(master.address)
        return responses.redirect(sid, host, port, f"{EPOCH_KEY}={master.epoch}")
    return _send(master, connection, sid, commit(master, message))


def _register(
    master: Master, connection: ServerConnection, sid: bytes, message: FsRegister
) -> Answer:
    master.process.fst_links.check(message.node, connection)
    ops, reply = fs.register(master.context, message, caller(connection))
    master.submit_all(ops)
    if ops:
        master.world.log.info(
            "filesystem registered",
            fsid=reply.fsid,
            node=message.node,
            path=message.path,
            space=message.space,
        )
    return _send(master, connection, sid, reply)


# -- people ----------------------------------------------------------------------------------------
def _admin(master: Master, connection: ServerConnection, sid: bytes, message: Admin) -> Answer:
    who = _acting(master, caller(connection), message.args)
    if leadership.is_order(message):
        order = Order(connection, sid, leadership.wanted(message, who), who.name)
        _hand_over(master, order)
        return None
    op_id = operation_id(who, message.op_id)
    known = master.namespace.remembered(op_id)
    if known is not None:
        return _send_again(master, connection, sid, known)
    outcome = dispatch.run(master.context, _without_role(message), who)
    if not isinstance(outcome, Change):
        outcome.seq = master.pipeline.head
        outcome.age_ms = master.age_ms()
        return _send(master, connection, sid, outcome)
    reply = outcome.reply
    ops = list(outcome.ops)
    if op_id and not outcome.is_secret:
        ops.append(RememberResult(op_id, encode_reply(reply)))
    if outcome.is_whole:
        master.submit_all(ops)
    else:
        for op in ops:
            master.submit(op)
    master.world.log.info(
        "admin command",
        noun=message.noun,
        verb=message.verb,
        uid=who.uid,
        name=who.name,
        host=who.host,
        result=reply.text,
    )
    return _send(master, connection, sid, msgspec.structs.replace(reply, seq=master.pipeline.head))


def _hand_over(master: Master, order: Order) -> None:
    """`ns master HOST`: answered when another MGM is master, or can't be."""
    host = master.address.rpartition(":")[0]
    if order.wanted in (master.address, host):
        section = queries.config(master.namespace, HISTORY_SECTION)
        told = stories(section)
        order.answer(told[-1] if told else None)
    else:
        master.process.order_hand_over(order)


def _send_again(master: Master, connection: ServerConnection, sid: bytes, known: Result) -> Answer:
    """The first answer of an operation that was done before."""
    if known.answer:
        data = responses.ok(sid, known.answer)
        return master.pipeline.answer_at_head(connection, data)
    reply = FileOpReply(result={"fid": known.fid}, seq=master.pipeline.head)
    return _send(master, connection, sid, reply)


def _file_op(master: Master, connection: ServerConnection, sid: bytes, message: FileOp) -> Answer:
    authorise(FILE_NOUN, message.verb, caller(connection))
    who = _acting(master, caller(connection), message.args)
    op_id = operation_id(who, message.op_id)
    known = master.namespace.remembered(op_id)
    if known is not None:
        return _send_again(master, connection, sid, known)
    result = file_operations.perform(master, who, _without_role(message), op_id)
    return _send(master, connection, sid, FileOpReply(result=result, seq=master.pipeline.head))


def _acting(master: Master, who: Identity, args: dict[str, object]) -> Identity:
    """The caller, or whom `-r UID GID` makes of him. Raises OperationError EPERM, EINVAL."""
    wanted = args.get(ACT_AS)
    if wanted is None:
        return who
    match wanted:
        case [int(uid), int(gid)]:
            return switch_role(master.rules, who, uid, gid)
        case _:
            raise OperationError(errno.EINVAL, f"{ACT_AS} is [uid, gid]")


def _without_role(message: _M) -> _M:
    """The verb's own arguments: not who asks, nor which MGM may answer (see roles.mgm.front)."""
    args = {name: value for name, value in message.args.items() if name not in _ROUTING}
    return msgspec.structs.replace(message, args=args)
