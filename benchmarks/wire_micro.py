"""ns per request of the protocol alone: `python -m benchmarks.wire_micro`.

No sockets and no namespace: bytes of requests in, bytes of answers out, for a block with one
request and for a block with sixteen (what a busy connection delivers at once). Best of many rounds,
since other work on the machine only ever adds. Then the page checksums in GB/s.
"""

import argparse
import time
from collections.abc import Callable

from thesan.core.model.units import MIB
from thesan.core.wire import bodies, pages
from thesan.core.wire import requests as rq
from thesan.core.wire import responses as rs
from thesan.core.wire.client import ClientSession
from thesan.core.wire.numbers import HANDSHAKE, NO_SID
from thesan.core.wire.request_codec import encode
from thesan.core.wire.server import MGM_SETTINGS, Event, ServerSession

SID = b"\1\0"
STAT = bodies.build_stat(
    bodies.StatInfo(42, 1000, 48, 1700000000, 1700000000, 1700000000, 0o644, "ada", "users")
)
PATH = "/eos/user/a/ada/f"
CAPABILITY = "cap=" + "x" * 400
REQUESTS: dict[str, rq.Request] = {
    "ping": rq.Ping(SID),
    "stat": rq.Stat(SID, PATH),
    "open, redirect": rq.Open(SID, PATH, "oss.asize=1000", 0o644, 0x450),
    "read 4 KiB": rq.Read(SID, 1, 4096, 4096),
    "write 4 KiB": rq.Write(SID, 1, 4096, 0, bytes(4096)),
}
_PAGE = bytes(4096)
ANSWERS: dict[type, Callable[[rq.Request], bytes]] = {
    rq.Ping: lambda r: rs.ok(r.sid),
    rq.Stat: lambda r: rs.ok(r.sid, STAT),
    rq.Open: lambda r: rs.redirect(r.sid, "fst1.example.org", 1095, CAPABILITY),
    rq.Read: lambda r: rs.ok(r.sid, _PAGE),
    rq.Write: lambda r: rs.ok(r.sid),
}


def logged_in() -> ServerSession:
    """A server session that takes requests."""
    session = ServerSession(MGM_SETTINGS)
    session.receive(HANDSHAKE + encode(rq.Login(NO_SID, "me")))
    session.conclude(Event.ACCEPTED)
    session.take_output()
    return session


def best_ns(work: Callable[[], object], rounds: int, seconds: float) -> float:
    """Nanoseconds of one call, the best of `rounds`."""
    count = 1
    while (took := _timed(work, count)) < seconds / 10 * 1e9:
        count *= 2
    count = max(1, int(count * seconds * 1e9 / took))
    return min(_timed(work, count) for _ in range(rounds)) / count


def _timed(work: Callable[[], object], count: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(count):
        work()
    return time.perf_counter_ns() - start


def serve(block: memoryview) -> Callable[[], object]:
    """Parse a block, answer every request, one joined answer."""
    session = logged_in()

    def work() -> bytes:
        out = [ANSWERS[type(request)](request) for request in session.receive(block)]
        session.take_output()
        return b"".join(out)

    return work


def ask(request: rq.Request) -> Callable[[], object]:
    """Submit a request to a client session and take its answer."""
    session = ClientSession()
    session.hello()
    sid, _ = session.submit(rq.Login(NO_SID, "me"))
    session.receive(
        rs.ok(NO_SID, bytes(8)) + rs.ok(NO_SID, bodies.build_protocol(2)) + rs.ok(sid, bytes(16))
    )

    def work() -> object:
        sid, _ = session.submit(request)
        return session.receive(rs.ok(sid, STAT))

    return work


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="wire_micro", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.02, help="length of one round")
    options = parser.parse_args()
    print(f"{'ns per request':28} {'1 a block':>10} {'16 a block':>11} {'decode':>8}")
    for name, request in REQUESTS.items():
        frame = encode(request)
        one = best_ns(serve(memoryview(bytearray(frame))), options.rounds, options.seconds)
        many = best_ns(serve(memoryview(bytearray(frame * 16))), options.rounds, options.seconds)
        session, block = logged_in(), memoryview(bytearray(frame * 16))
        bare = best_ns(lambda s=session, b=block: s.receive(b), options.rounds, options.seconds)
        print(f"{'server, ' + name:28} {one:10.0f} {many / 16:11.0f} {bare / 16:8.0f}")
    took = best_ns(ask(rq.Stat(SID, PATH)), options.rounds, options.seconds)
    print(f"{'client, stat and its answer':28} {took:10.0f}")

    data = bytes(range(256)) * (4 * MIB // 256)
    raw = pages.interleave(data, 0)
    print(f"\n{'page checksums, 4 MiB':28} {'GB/s':>10}")
    work: dict[str, Callable[[], object]] = {
        "checksums": lambda: pages.page_checksums(data, 0),
        "interleave (pgread)": lambda: pages.interleave(data, 0),
        "copy and split (pgwrite)": lambda: pages.split_pages(bytearray(raw), 0),
    }
    for name, call in work.items():
        print(f"{name:28} {len(data) / best_ns(call, options.rounds, options.seconds):10.1f}")


if __name__ == "__main__":
    main()
