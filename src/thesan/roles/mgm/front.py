"""What an MGM that is not master does with each request: serve, redirect, or keep for a moment.

Served here, whatever the role: who is master, beats. Served from the replica: admin verbs that
read, and the reads of clients that said so (`thesan.any`). Everything else goes to the master,
while this MGM has just seen that one lives; else it is kept until there is one, and then told to
wait. A request that was redirected here already is sent on by a later epoch only: else its client
is ahead of us, or we of it.
"""

import errno
from collections.abc import Callable
from typing import Any, Final

from thesan.core.authority.commands import DAEMON_NOUN, FILE_NOUN, authorise, find
from thesan.core.control.messages import (
    EPOCH_KEY,
    MAGIC,
    Admin,
    Beat,
    FileOp,
    decode_request,
    encode_reply,
)
from thesan.core.control.messages import Request as Message
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import OperationError, StoreError
from thesan.core.model.leadership_limits import CAUGHT_UP_WAIT_SECONDS_MAX
from thesan.core.model.paths import parse_cgi
from thesan.core.wire import responses
from thesan.core.wire.numbers import OpenFlag, QueryCode
from thesan.core.wire.requests import DirList, Locate, Open, Query, ReadV, Request, Stat
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm import any_role
from thesan.roles.mgm.comeback import TRIED_KEY, final_error
from thesan.roles.mgm.control import handle_message
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.metadata import caller
from thesan.roles.mgm.parking import Parking
from thesan.roles.mgm.process import Process
from thesan.roles.mgm.sessions import Session
from thesan.roles.mgm.standby import Standby

Answer = bytes | bytearray | None
Serve = Callable[[Master, ServerConnection, Request], Answer]

ANY_KEY: Final = "thesan.any"
"""`thesan.any=1` in the CGI of a read: a standby's answer will do."""
SEQ_KEY: Final = "thesan.seq"
"""Newest journal entry that the client has seen: it is not shown anything older."""
_PERHAPS_YOUNG: Final = (errno.ENOENT, errno.EADDRNOTAVAIL)
_WRITES: Final = int(
    OpenFlag.DELETE | OpenFlag.NEW | OpenFlag.UPDATE | OpenFlag.APPEND | OpenFlag.WRITE_ONLY
)


class Front:
    """Answers while this MGM is not master."""

    def __init__(self, process: Process, parking: Parking, serve: Serve) -> None:
        """`serve` calls the handler of a request with a desk."""
        self.standby: Standby | None = None
        """The replica to read from, if there is one now."""
        self._process = process
        self._parking = parking
        self._serve = serve

    def answer(self, connection: ServerConnection, request: Request) -> Answer:
        """Answer, or None and answer later. Raises ThesanError."""
        kind = type(request)
        if kind is Query:
            assert isinstance(request, Query)
            if request.infotype == QueryCode.OPAQUE and request.args.startswith(MAGIC):
                return self._message(connection, request)
            if request.infotype == QueryCode.CONFIG and self.standby is not None:
                return self._serve_here(self.standby, connection, request)
        standby = self.standby
        if standby is not None and _is_of_empty_file(connection, request):
            return self._serve_here(standby, connection, request)
        cgi = _cgi_of(request)
        if standby is not None and ANY_KEY in cgi and _reads(request):
            values = parse_cgi(cgi)
            if values.get(ANY_KEY) == "1" and standby.is_caught_up:
                return self._serve_from(standby, connection, request, values.get(SEQ_KEY, ""))
        return self.to_master(connection, request, epoch_of(cgi))

    def to_master(
        self, connection: ServerConnection, request: Request, sent_in_epoch: int = 0
    ) -> Answer:
        """Send the client on when the master is certainly known; else keep the request.

        A client that was sent here already is sent on by a later master only: a chain of
        redirects is no longer than that of the masters, and who was sent to a master that died
        does not wait for it for ever (XRootD clients repeat the whole CGI of a redirect). Who
        comes back from the master with an error is told the same, or sent to it once more.
        """
        leader = self._process.leader()
        if leader.master_address and leader.epoch <= sent_in_epoch and self.standby is not None:
            cgi = _cgi_of(request)
            if (error := final_error(self.standby.desk.namespace, request, cgi)) is not None:
                return responses.error(request.sid, error, "the master says so")
            if TRIED_KEY in cgi:
                sent_in_epoch = 0
        if leader.master_address and leader.epoch > sent_in_epoch:
            host, port = split_address(leader.master_address)
            return responses.redirect(request.sid, host, port, f"{EPOCH_KEY}={leader.epoch}")
        return self._parking.park(connection, request)

    # -- reads from the replica ------------------------------------------------------------------
    def _serve_here(
        self, standby: Standby, connection: ServerConnection, request: Request
    ) -> Answer:
        """What is not found here may be so young that only the master has it."""
        try:
            return self._serve(standby.desk, connection, request)
        except StoreError as error:
            # A block of the own disk can't be read: the others have good ones.
            self._process.world.log.error("not served from the replica", reason=str(error))
            return self.to_master(connection, request)
        except OperationError as error:
            may_be_young = error.errno in _PERHAPS_YOUNG and EPOCH_KEY not in _cgi_of(request)
            if may_be_young and self._process.leader().master_address:
                return self.to_master(connection, request)
            return standby.desk.refuse(connection, request.sid, error)

    def _serve_from(
        self, standby: Standby, connection: ServerConnection, request: Request, seq: str
    ) -> Answer:
        wanted = int(seq) if seq.isascii() and seq.isdecimal() and len(seq) < 20 else 0
        if wanted <= standby.applied:
            return self._serve_here(standby, connection, request)

        def applied(is_there: bool) -> None:
            if is_there:
                self._parking.handle_now(connection, request)
            elif not connection.is_closed:
                answer = self.to_master(connection, request)
                if answer is not None:
                    connection.reply(answer)

        standby.when_applied(wanted, CAUGHT_UP_WAIT_SECONDS_MAX, applied)
        return None

    # -- control messages ------------------------------------------------------------------------
    def _message(self, connection: ServerConnection, request: Query) -> Answer:
        process, standby = self._process, self.standby
        message = decode_request(request.args)
        if isinstance(message, Beat):
            authorise(DAEMON_NOUN, "beat", caller(connection))
            process.fst_links.check(message.node, connection)
            process.note_beat(message, process.now_s())
            if standby is None:
                return responses.ok(request.sid, encode_reply(process.standby_reply(message)))
        desk = standby.desk if standby is not None else None
        if isinstance(message, any_role.KINDS):
            return any_role.answer(process, connection, request.sid, message)
        if desk is None or standby is None or not self._is_mine(standby, message):
            return self.to_master(connection, request)
        if isinstance(message, Admin | FileOp):
            seq = message.args.get("seq")
            if isinstance(seq, int) and seq > standby.applied:
                return self._serve_from(standby, connection, request, str(seq))
        return handle_message(desk, connection, request.sid, message)

    def _is_mine(self, standby: Standby, message: Message) -> bool:
        """Whether the replica may answer."""
        match message:
            case Beat():
                return True
            case Admin():
                if message.args.get("leader") or not standby.is_caught_up:
                    return False
                if (message.noun, message.verb) == ("ns", "master"):
                    return not (message.args.get("to") or message.args.get("host"))
                return not find(message.noun, message.verb).mutates
            case FileOp():
                wants_any = bool(message.args.get("any")) and standby.is_caught_up
                return wants_any and not find(FILE_NOUN, message.verb).mutates
            case _:
                return False


def _is_of_empty_file(connection: ServerConnection, request: Any) -> bool:
    """The request is about a handle that this MGM gave out."""
    session = connection.state
    handle: object = getattr(request, "fh", None)
    if isinstance(request, ReadV) and request.items:
        handle = request.items[0][0]
    path: str = getattr(request, "path", "")
    if path or not isinstance(handle, int) or not isinstance(session, Session):
        return False
    return handle in session.empty_files


def _reads(request: Request) -> bool:
    match request:
        case Stat() | DirList() | Locate():
            return True
        case Open():
            return not request.options & _WRITES
        case Query():
            return request.infotype == QueryCode.CHECKSUM
        case _:
            return False


def epoch_of(cgi: str) -> int:
    """Epoch in which a master redirected the request; 0 when it was not. A client that was sent
    on several times may have several: the last one counts."""
    if EPOCH_KEY not in cgi:
        return 0
    texts = [part.partition("=")[2] for part in cgi.split("&") if part.startswith(f"{EPOCH_KEY}=")]
    return max((int(text) for text in texts if text.isascii() and text.isdecimal()), default=0)


def _cgi_of(request: Any) -> str:
    """The CGI of a request, wherever it has it."""
    if isinstance(request, Query):
        if request.infotype == QueryCode.OPAQUE:
            return ""
        return request.args.partition(b"?")[2].decode(errors="replace")
    cgi = getattr(request, "cgi", "") or getattr(request, "source_cgi", "")
    assert isinstance(cgi, str)
    return cgi
