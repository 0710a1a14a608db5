"""Control messages: what our own daemons and the admin CLI say inside kXR_query (infotype 16).

The body of the query is MAGIC + msgpack of one Request variant; the answer is msgpack of the
matching Reply variant. A daemon that does not know a tag answers kXR_Unsupported; unknown fields
are ignored and missing ones take their default, so that versions can meet.
"""

from typing import Any, Final

import msgspec

from thesan.core.model.errors import ControlError
from thesan.core.model.limits import REQUEST_BODY_BYTES_MAX

MAGIC: Final = b"thesan1\n"
"""Start of a control body; anything else in kXR_Qopaque is answered kXR_Unsupported."""

ACT_AS: Final = "act_as"
"""Key in `args` of Admin and FileOp: [uid, gid] that the caller wants to be (`-r UID GID`). The MGM
grants it to sudoers and within memberships; otherwise EPERM."""

OP_KEY: Final = "thesan.op"
"""Key in the CGI of an XRootD request: the client's id of the operation, as `op_id` below."""
AGAIN_KEY: Final = "thesan.again"
"""Likewise, at an open for writing: this operation was tried before, with an unknown outcome."""
EPOCH_KEY: Final = "mgm.epoch"
"""In the CGI of a redirect to the master: the epoch of that master. Passed on, it says that the
request was redirected already: no MGM redirects it a second time."""


class Message(msgspec.Struct, gc=False, omit_defaults=True):
    """Base: encoded as a map, so that fields can be added."""


ANY_KEY: Final = "thesan.any"
"""Key in the CGI of a request that only reads: `1` lets a standby answer it."""

SEQ_KEY: Final = "thesan.seq"
"""Key beside ANY_KEY: journal position that the answer must reflect at least."""


# -- FST to MGM --------------------------------------------------------------------------------
class FsReport(Message):
    """State and statistics of one filesystem, in each beat."""

    fsid: int
    uuid: str
    path: str
    boot: str
    """down, booting, booted, bootfailure or opserror."""
    errc: int = 0
    errmsg: str = ""
    capacity_bytes: int = 0
    free_bytes: int = 0
    files: int = 0
    free_files: int = 0
    used_files: int = 0
    """Replicas that this FST stores there."""
    disk_load: float = 0.0
    read_mb_per_s: float = 0.0
    write_mb_per_s: float = 0.0
    open_read: int = 0
    open_write: int = 0
    read_only: bool = False


class NodeReport(Message):
    """Figures of an FST's host and process, in each beat."""

    geotag: str = ""
    version: str = ""
    kernel: str = ""
    start_ns: int = 0
    net_in_mb_per_s: float = 0.0
    net_out_mb_per_s: float = 0.0
    net_mb_per_s_max: float = 0.0
    rss_bytes: int = 0
    vsize_bytes: int = 0
    threads: int = 0
    sockets: int = 0
    http_port: int = 0
    pid: int = 0


class Beat(Message, tag="beat"):
    """Each second to every MGM; the first one registers the node."""

    node: str
    """`host:port` that clients are to be sent to."""
    boot_id: str
    """Random per process start: a change tells the MGM that the FST restarted."""
    report: NodeReport
    filesystems: list[FsReport]
    epoch: int = 0
    """Highest epoch that this FST has seen."""
    config_seq: int = -1
    """`config_seq` of the last BeatReply that carried filesystems; -1 asks for all."""
    deleted: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(fsid, fid) removed from disk since the last beat that was answered by the master."""


class FsConfig(Message):
    """One filesystem as configured at the MGM."""

    fsid: int
    uuid: str
    path: str
    configstatus: str
    """rw, wo, ro, drain, draindead, off or empty."""
    headroom_bytes: int = 0
    boot_request: int = 0
    """Grows by one at each `fs boot`: the FST boots it again."""
    has_replicas: bool = False
    """Files are registered there: an empty directory without a label is not this filesystem."""


class BeatReply(Message, tag="beat-ok"):
    """What the FST needs to know now."""

    master: bool
    """True when the answering MGM is master: only then are `deletions` and `deleted` handled."""
    epoch: int
    master_address: str
    mgms: list[str]
    """`host:port` of every MGM of the instance."""
    config_seq: int
    active: bool = True
    """`node set on|off`."""
    filesystems: list[FsConfig] | None = None
    """All filesystems of this node, only when they changed since the beat's `config_seq`."""
    deletions: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(fsid, fid) to remove from disk; repeated until reported in `Beat.deleted`."""


class ReplicaCommit(Message):
    """One stored replica as an FST holds it."""

    fsid: int
    size: int
    adler32: int
    crc32c: int


class Commit(Message, tag="commit"):
    """A file was closed: all its replicas are durable. Idempotent by (fid, generation).

    `grant` is the `Grant` of the capability under which it was written, sealed by the MGM with its
    own key, so that any later master can finish the commit without state from the open.
    """

    node: str
    grant: bytes
    replicas: list[ReplicaCommit]
    mtime_ns: int
    failed_fsids: list[int] = msgspec.field(default_factory=list)
    """Replicas of the capability that could not be written."""
    epoch: int = 0
    """Highest one that the FST had seen when it sent this; made anew for each sending."""


class CommitReply(Message, tag="commit-ok"):
    """The commit is in the journal. `keep` says which replicas stay; others are deleted."""

    seq: int
    epoch: int


class Inquire(Message, tag="inquire"):
    """At fs boot: which of these fids have a replica registered on this fs?"""

    node: str
    fsid: int
    fids: list[int]


class InquireReply(Message, tag="inquire-ok"):
    """Verdict for each fid of the inquiry, in order: True when the replica is registered."""

    known: list[bool]
    epoch: int


class FsRegister(Message, tag="fs-register"):
    """An FST asks to add its own filesystem (`thesan serve fst --fs ...` on a fresh node)."""

    node: str
    uuid: str
    path: str
    space: str
    fsid: int = 0
    """Wanted fsid, 0 for the next free one. The same uuid gets its old fsid back."""
    configstatus: str = "rw"


class FsRegisterReply(Message, tag="fs-registered"):
    """The fsid to write in the label."""

    fsid: int


# -- command line and library to MGM -------------------------------------------------------------
class Admin(Message, tag="admin"):
    """`thesan NOUN VERB`: checked against the role x command table, then executed."""

    noun: str
    verb: str
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    op_id: str = ""
    """Random per invocation: a resend under the same id gets the first answer."""


class AdminReply(Message, tag="admin-ok"):
    """Records for any of the three renderings (table, -m, -j)."""

    records: list[dict[str, Any]]
    text: str = ""
    """One sentence for a person, on verbs that change something."""
    seq: int = 0
    """Journal position that the answer reflects."""
    age_ms: int = 0
    """Age of the view: 0 on the master."""
    next_page: str = ""
    """Give it back as args["page"] for more records; empty at the end."""


class FileOp(Message, tag="file-op"):
    """Namespace operations that XRootD has no request for: symlink, link, chown, utime, touch,
    readlink, lstat, acl, info. `path` is absolute; roles.mgm.file_operations checks `args`."""

    verb: str
    path: str
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    op_id: str = ""


class FileOpReply(Message, tag="file-op-ok"):
    """Result fields of the verb."""

    result: dict[str, Any] = msgspec.field(default_factory=dict)
    seq: int = 0


# -- who is master: clients, FSTs and MGMs to any MGM ----------------------------------------------
class Watch(Message, tag="watch"):
    """Tell me of a master with an epoch above `epoch`; any logged-in session may ask. A long poll:
    answered at once when one is known, else through kXR_waitresp as soon as one is, at the latest
    after `wait_ms` with what is known then."""

    epoch: int = 0
    wait_ms: int = 0


class Leader(Message, tag="leader"):
    """Answer to Watch: what this MGM knows."""

    epoch: int
    master_address: str
    """`host:port`, empty when no living master is known."""
    mgms: list[str]
    """`host:port` of every MGM of the instance."""
    role: str = ""
    """Of the MGM that answers: starting, standby, master."""
    applied: int = 0
    """Journal position that its namespace reflects."""


class MgmBeat(Message, tag="mgm-beat"):
    """Each second, from every MGM to every other one, by keytab."""

    node: str
    """Its address, `host:port`."""
    boot_id: str
    role: str
    epoch: int
    """Highest epoch that it has seen."""
    applied: int
    """Last journal entry applied in memory."""
    durable: int
    """Last entry whose effect is on its own disk: what trimming may rely on."""
    eligible: bool
    why: str
    """One sentence: what it does and why it is, or is not, master."""
    report: NodeReport


class MgmBeatReply(Message, tag="mgm-beat-ok"):
    """What the other one knows."""

    epoch: int
    master_address: str
    mgms: list[str]


# -- an MGM that has to be seeded, to another MGM -------------------------------------------------
class CheckpointPage(Message, tag="checkpoint-page"):
    """A piece of a consistent copy of your store, please. Only by keytab."""

    checkpoint: str = ""
    """Name from an earlier reply; empty: one that is as fresh as can be had."""
    after: bytes = b""
    """Last key that is here already."""


class CheckpointReply(Message, tag="checkpoint-page-ok"):
    """Pairs of the checkpoint in key order, from the first key after `after` on."""

    checkpoint: str
    """Name to go on with. It is kept while anybody asks for it."""
    applied: bytes
    """The record of what the checkpoint is: it comes here and not among the pairs, to be written
    last."""
    pairs: list[tuple[bytes, bytes]]
    digest: bytes
    """blake2b-128 of the page, see core.namespace.snapshot.page_digest."""
    last: bool
    """Nothing comes after this."""


class JournalPage(Message, tag="journal-page"):
    """Journal entries out of your segments, please: the engine has them no more. By keytab."""

    start: int
    """Seq of the first entry wanted."""


class JournalReply(Message, tag="journal-page-ok"):
    """Contiguous entries from `start` on, as they were written; none when `start` is not held."""

    entries: list[bytes]
    first: int
    """Oldest entry of the newest run without a hole; 0 when there is none."""
    last: int
    """Newest entry held; 0 when there is none."""


Request = (
    Beat
    | Commit
    | Inquire
    | FsRegister
    | Admin
    | FileOp
    | Watch
    | MgmBeat
    | CheckpointPage
    | JournalPage
)
Reply = (
    BeatReply
    | CommitReply
    | InquireReply
    | FsRegisterReply
    | AdminReply
    | FileOpReply
    | Leader
    | MgmBeatReply
    | CheckpointReply
    | JournalReply
)

_encoder = msgspec.msgpack.Encoder()
_request_decoder: "msgspec.msgpack.Decoder[Request]" = msgspec.msgpack.Decoder(Request)
_reply_decoder: "msgspec.msgpack.Decoder[Reply]" = msgspec.msgpack.Decoder(Reply)


def encode_request(message: Request) -> bytes:
    """Body of the kXR_query. Raises ControlError above REQUEST_BODY_BYTES_MAX."""
    body = MAGIC + _encoder.encode(message)
    if len(body) > REQUEST_BODY_BYTES_MAX:
        raise ControlError(f"control message of {len(body)} bytes is too long")
    return body


def decode_request(body: bytes) -> Request:
    """Raises ControlError for anything that is not a Request."""
    if not body.startswith(MAGIC):
        raise ControlError("not a control message")
    try:
        return _request_decoder.decode(memoryview(body)[len(MAGIC) :])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ControlError(f"unreadable control message: {error}") from error


def encode_reply(message: Reply) -> bytes:
    """Body of the answer."""
    return _encoder.encode(message)


def decode_reply(body: bytes) -> Reply:
    """Raises ControlError for anything that is not a Reply."""
    try:
        return _reply_decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ControlError(f"unreadable control answer: {error}") from error
