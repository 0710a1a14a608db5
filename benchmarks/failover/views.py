"""What each MGM says when it is asked directly: admin views, who is master, filesystems.

No client library that goes elsewhere by itself: one connection to one MGM, one answer.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from benchmarks.failover.record import Sighting
from thesan.core.control.messages import (
    Admin,
    AdminReply,
    Leader,
    Request,
    Watch,
    decode_reply,
    encode_request,
)
from thesan.core.model.errors import ThesanError
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import parse_redirect
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.io.transport.client import ClientConnection, LoginSettings, dial, error_of

ASK_SECONDS_MAX: Final = 1.0
"""Silence of an MGM after which it is written down as silent."""
DIAL_SECONDS_MAX: Final = 1.0

VIEWS: Final = (("fs", "ls"), ("node", "ls"), ("group", "ls"), ("space", "ls"), ("quota", "ls"))
"""Admin views that must be the same on every MGM; `ns` is compared by `NS_KEYS`."""
NS_KEYS: Final = ("ns.boot.status", "ns.mgm.leader", "ns.mgm.epoch")
"""What `ns stat` says of the instance rather than of the MGM that was asked."""
NS_KEYS_AT_REST: Final = ("ns.total.files", "ns.total.directories")
"""What also must be the same when nobody writes: MGMs are asked one after the other."""
VOLATILE: Final = (
    *("heartbeat", "age", "lag", "load", "rtt", "uptime", "rss", "cpu", "clock", "delta", "since"),
    *("stat.disk", "stat.net", "stat.ropen", "stat.wopen", "stat.statfs", "used", "free", "filled"),
    *(
        "sched.capacity",
        "nofs",
        "dev",
        "bytes",
        "files",
        "balancer",
        "sys.",
        "avg.",
        "sum.",
        "sig.",
    ),
)
"""Parts of keys whose values change from one moment to the next, or differ by who is asked."""


class Desk:
    """Direct connections from the operator to every MGM; made again when they break."""

    def __init__(self, mgms: Mapping[str, str], login: LoginSettings) -> None:
        """`mgms`: host -> `host:port`."""
        self._mgms = dict(mgms)
        self._login = login
        self._connections: dict[str, ClientConnection] = {}
        self._by_ip = {address.rpartition(":")[0]: host for host, address in mgms.items()}

    def close(self) -> None:
        """Drop all connections."""
        for connection in self._connections.values():
            connection.abort("done")
        self._connections.clear()

    async def connection(self, host: str) -> ClientConnection:
        """The connection to an MGM. Raises OperationError."""
        connection = self._connections.get(host)
        if connection is None or connection.is_closed:
            name, _, port = self._mgms[host].rpartition(":")
            connection = await dial(name, int(port), self._login, timeout=DIAL_SECONDS_MAX)
            self._connections[host] = connection
        return connection

    def _drop(self, host: str) -> None:
        if connection := self._connections.pop(host, None):
            connection.abort("silent")

    async def _call(self, host: str, request: rq.Request) -> Any:
        try:
            connection = await self.connection(host)
            return await connection.call(request, ASK_SECONDS_MAX)
        except BaseException:
            self._drop(host)
            raise

    async def control(self, host: str, message: Request) -> Any:
        """Reply to a control message. Raises OperationError, also for a redirect or a wait."""
        answer = await self._call(
            host, rq.Query(NO_SID, QueryCode.OPAQUE, args=encode_request(message))
        )
        if answer.status != Status.OK:
            raise error_of(answer)
        return decode_reply(bytes(answer.body))

    async def admin(self, host: str, noun: str, verb: str, **args: Any) -> AdminReply:
        """First page of an admin command as this MGM answers it."""
        reply = await self.control(host, Admin(noun, verb, args))
        assert isinstance(reply, AdminReply)
        return reply

    async def leader(self, host: str) -> Leader | None:
        """Whom this MGM takes for master; None when it does not answer."""
        try:
            reply = await self.control(host, Watch())
        except (ThesanError, OSError):
            return None
        return reply if isinstance(reply, Leader) else None

    async def sight(self, host: str) -> Sighting:
        """Ask for the root directory's stat as a client does, and note who serves."""
        began = time.monotonic()
        role, target, text = "silent", "", ""
        try:
            answer = await self._call(host, rq.Stat(NO_SID, "/"))
            match answer.status:
                case Status.OK:
                    role = "master"
                case Status.REDIRECT:
                    place = parse_redirect(bytes(answer.body))
                    role, target = "redirect", self._by_ip.get(place.host, place.host)
                case Status.WAIT:
                    role = "wait"
                case _:
                    role, text = "error", str(error_of(answer))
        except (ThesanError, OSError) as error:
            text = str(error)
        now = time.monotonic()
        return Sighting(now, host, role, target, now - began, text)


def stable(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Records without what changes from one moment to the next."""
    return [
        {key: value for key, value in record.items() if not any(word in key for word in VOLATILE)}
        for record in records
    ]


def difference(views: Mapping[str, object]) -> str:
    """Empty when all MGMs say the same; else who says what, as short as may be."""
    values = list(views.values())
    if all(value == values[0] for value in values):
        return ""
    lists = [value for value in values if isinstance(value, list)]
    if len(lists) < len(values) or len({len(one) for one in lists}) > 1:
        return "; ".join(f"{host}: {value}" for host, value in views.items())[:1500]
    told = []
    for records in zip(*lists, strict=True):
        for key in dict.fromkeys(key for record in records for key in record):
            said = {host: r.get(key) for host, r in zip(views, records, strict=True)}
            if len(set(map(str, said.values()))) > 1:
                told.append(f"{next(iter(records[0].values()), '')} {key}: {said}")
    return "; ".join(told)[:1500]


async def compare(desk: Desk, hosts: Iterable[str], *, at_rest: bool = False) -> dict[str, str]:
    """View -> how it differs between these MGMs; empty when all are equal."""
    hosts = list(hosts)
    found = {}
    for noun, verb in (*VIEWS, ("ns", "stat")):
        views: dict[str, object] = {}
        for host in hosts:
            try:
                reply = await desk.admin(host, noun, verb)
                views[host] = _of_ns(reply, at_rest) if noun == "ns" else stable(reply.records)
            except (ThesanError, OSError) as error:
                views[host] = f"no answer: {error}"
        if text := difference(views):
            found[f"{noun} {verb}"] = text
    return found


def _of_ns(reply: AdminReply, at_rest: bool) -> dict[str, Any]:
    merged = {key: value for record in reply.records for key, value in record.items()}
    keys = (*NS_KEYS, *NS_KEYS_AT_REST) if at_rest else NS_KEYS
    return {key: merged[key] for key in keys}


async def until_equal(
    desk: Desk, hosts: Iterable[str], seconds_max: float, *, at_rest: bool = False
) -> tuple[float, str]:
    """(seconds until all views were equal, "") or (seconds_max, what still differs)."""
    began = time.monotonic()
    while True:
        found = await compare(desk, hosts, at_rest=at_rest)
        took = time.monotonic() - began
        if not found:
            return took, ""
        if took > seconds_max:
            return took, "; ".join(f"{view}: {text}" for view, text in found.items())
        await asyncio.sleep(0.05)


def bad_filesystems(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """`host:path boot active` of each that is not booted and online."""
    return [
        f"{r.get('host')}:{r.get('path')} {r.get('stat.boot')} {r.get('stat.active')}"
        for r in records
        if r.get("stat.boot") != "booted" or r.get("stat.active") != "online"
    ]
