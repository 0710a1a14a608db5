"""One request on its way: where it goes next, what it carries, what is known of it so far."""

import errno

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import CLIENT_BACKOFF_SECONDS, CLIENT_TRIED_MAX, REDIRECTS_MAX
from thesan.core.model.paths import parse_cgi
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import Redirect
from thesan.core.wire.numbers import QueryCode
from thesan.roles.client.url import Endpoint, merge_cgi, parse_url, set_cgi


class Journey:
    """What is known of one request on its way."""

    def __init__(
        self,
        request: rq.Request,
        began: float,
        deadline: float,
        tried: dict[str, str],
        *,
        any_mgm: bool = False,
    ) -> None:
        self.request = request
        self.began = began
        self.deadline = deadline
        self.any_mgm = any_mgm
        """A standby may answer."""
        self.tried = tried
        """Hosts that could not serve it: word for `triedrc`."""
        self.target: Endpoint | None = None
        """Where a redirect sent us; None: to the MGM."""
        self.given_cgi = ""
        self.redirects = 0
        """Since the last pause."""
        self.epoch = 0
        """Of the master that a standby sent us to, since the last pause: the next must be later."""
        self.returns = 0
        """Times that an FST sent us back to the MGMs."""
        self.refused = 0
        self.maybe_done = False
        self.losses = 0
        self.lost_at: float | None = None
        """When a server was lost first."""
        self.pause = CLIENT_BACKOFF_SECONDS
        self.mgm_failures = 0
        self.waits = 0
        """Times that an MGM said wait."""
        self.reason = "nothing was tried"
        """Why the last try failed: what an error at the deadline says."""
        self.refusal = ""
        """What the last FST said that could not serve it."""

    @property
    def what(self) -> str:
        """For error texts: `stat /a/b`."""
        path = getattr(self.request, "path", "") or getattr(self.request, "source", "")
        return f"{type(self.request).__name__.lower()} {path}".rstrip()

    def outgoing(self) -> rq.Request:
        """The request as it is to be sent to the current target."""
        cgi = self.given_cgi
        if self.target is None and self.tried:
            hosts = list(self.tried)[-CLIENT_TRIED_MAX:]
            words = ",".join(self.tried[host] for host in hosts)
            cgi = set_cgi(set_cgi(cgi, "tried", ",".join(hosts)), "triedrc", words)
        return with_cgi(self.request, cgi) if cgi else self.request

    def follow(self, redirect: Redirect) -> None:
        """Take up a kXR_redirect. Raises OperationError ELOOP, EINVAL or EPROTONOSUPPORT."""
        self.redirects += 1
        if self.redirects > REDIRECTS_MAX:
            text = f"{self.what}: {REDIRECTS_MAX} redirects and no end; the last to {redirect.host}"
            raise OperationError(errno.ELOOP, text)
        if redirect.port < 0:
            url = parse_url(redirect.host + ("?" + redirect.cgi if redirect.cgi else ""))
            self.target, self.given_cgi = url.endpoints[0], url.cgi
        else:
            self.target = Endpoint(redirect.host.strip("[]"), redirect.port)
            self.given_cgi = redirect.cgi
        self._note_tried()

    def come_home(self, redirect: Redirect) -> None:
        """An FST sends us back to an MGM: to be asked is the master that we know."""
        self.given_cgi = redirect.cgi
        self._note_tried()
        self.returns += 1
        self.go_back("")

    def _note_tried(self) -> None:
        """A server that sends us back names itself in `tried=`: keep that beside our own list."""
        for host in parse_cgi(self.given_cgi).get("tried", "").split(","):
            if host:
                self.tried.setdefault(host, "srverr")

    def paused(self) -> None:
        """Time went by: the chain of redirects is a new one."""
        self.redirects = 0
        self.epoch = 0

    def go_back(self, word: str) -> None:
        """Ask the MGM again; without `word` the server that we come from is not to blame."""
        if word:
            assert self.target is not None
            if self.tried.pop(self.target.host, None) is None:
                self.redirects = 0  # One server less: this can't go on for ever.
            self.tried[self.target.host] = word
        self.target = None
        self.given_cgi = ""


def with_cgi(request: rq.Request, cgi: str) -> rq.Request:
    """A copy of `request` with `cgi` merged into its own; what has no CGI stays as it is."""
    match request:
        case (
            rq.Open()
            | rq.Truncate()
            | rq.Stat()
            | rq.DirList()
            | rq.Locate()
            | rq.Mkdir()
            | rq.Rm()
            | rq.Rmdir()
            | rq.Chmod()
            | rq.FAttr()
        ):
            return msgspec.structs.replace(request, cgi=merge_cgi(request.cgi, cgi))
        case rq.Mv():
            return msgspec.structs.replace(request, source_cgi=merge_cgi(request.source_cgi, cgi))
        case rq.Query(infotype=QueryCode.CHECKSUM | QueryCode.SPACE | QueryCode.XATTR):
            path, _, own = request.args.decode(errors="surrogateescape").partition("?")
            args = f"{path}?{merge_cgi(own, cgi)}".encode(errors="surrogateescape")
            return msgspec.structs.replace(request, args=args)
        case _:
            return request
