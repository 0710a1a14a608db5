"""The real, unmodified xrdcp in a loop: upload, download, compare.

Runs on a host of the bed: `python -m benchmarks.failover.xrdcp ADDRESSES DIRECTORY RECORD WORK
[XRD_...=VALUE ...]`.
ADDRESSES are the MGMs' `ip:port,...`: they become one name with several addresses, the way in which
XRootD clients know more than one manager, in a hosts file that only these processes see. Prints
`ready` after the first round trip. A line on standard input ends the loop after the file under way.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks.failover.record import Event, to_json

NAME = "mgm.bed"
FILE_BYTES = 256 * 1024
COPY_SECONDS_MAX = 150.0
"""Longer than any fault, and than XRootD's connection window (120 s)."""
OPTIONS = "-s -f --cksum adler32"
"""Compared at the end: XrdCl takes a close whose connection has broken for a success, and exits
with 0 although no server ever heard of the close (seen: 5.5.3, FST lost before the close)."""
QUICK = ("XRD_CONNECTIONWINDOW=5", "XRD_CONNECTIONRETRY=20")
"""What we recommend: a host that boots refuses connections for a moment, and XrdCl by itself sleeps
out its window of 120 s then."""
PAUSE_SECONDS = 0.2
SLOW_SECONDS = 5.0
"""Copies that took longer leave their log."""
_PLACE = re.compile(r"10\.77\.0\.\d+:1095")
"""An FST."""


class Loop:
    """One xrdcp after the other."""

    def __init__(
        self,
        addresses: list[str],
        directory: str,
        record: Path,
        work: Path,
        settings: dict[str, str],
    ) -> None:
        self._settings = settings
        self._url = f"root://{NAME}:{addresses[0].rpartition(':')[2]}/{directory}"
        self._record = record.open("a", encoding="utf-8", buffering=1)
        self._work = work
        self._hosts = work / "hosts"
        work.mkdir(parents=True, exist_ok=True)
        lines = [f"{address.rpartition(':')[0]} {NAME}" for address in addresses]
        self._hosts.write_text("127.0.0.1 localhost\n" + "\n".join(lines) + "\n")
        self.stopping = threading.Event()

    def run(self) -> None:
        """Until told to stop."""
        number = 0
        while not self.stopping.is_set():
            path = f"x{number}"
            data = os.urandom(FILE_BYTES)
            (self._work / "in").write_bytes(data)
            source, target = str(self._work / "in"), str(self._work / "out")
            if self._copy("upload", path, source, f"{self._url}/{path}") and self._copy(
                "download", path, f"{self._url}/{path}", target, data
            ):
                if number == 0:
                    print("ready", flush=True)
                number += 1
            self.stopping.wait(PAUSE_SECONDS)

    def _copy(self, op: str, path: str, source: str, target: str, wanted: bytes = b"") -> bool:
        log = self._work / "xrdcp.log"
        log.unlink(missing_ok=True)
        # Its copies of the bed's mounts would keep a disk alive that has lost its power.
        script = (
            "grep ^/dev/loop /proc/self/mounts | cut -d' ' -f2 | xargs -r umount -l\n"
            f"mount --bind {self._hosts} /etc/hosts && exec xrdcp {OPTIONS} '{source}' '{target}'"
        )
        began = time.monotonic()
        error = ""
        try:
            done = subprocess.run(
                ["unshare", "--mount", "sh", "-c", script],
                capture_output=True,
                text=True,
                check=False,
                timeout=COPY_SECONDS_MAX,
                env={
                    **os.environ,
                    **self._settings,
                    "XRD_LOGLEVEL": "Debug",
                    "XRD_LOGFILE": str(log),
                },
            )
            if done.returncode != 0:
                error = f"status {done.returncode}: {done.stderr.strip()[-300:]}"
        except subprocess.TimeoutExpired:
            error = f"not done after {COPY_SECONDS_MAX} s"
        if not error and wanted and Path(target).read_bytes() != wanted:
            error = "exit 0, and other bytes than were written"
        ended = time.monotonic()
        place = last_place(log) if error else ""
        if log.exists() and (error or ended - began > SLOW_SECONDS):
            kind = "failed" if error else "slow"
            log.rename(self._work / f"{kind}-{op}-{path}-{int(began * 10)}.log")
        event = Event("xrdcp", began, ended, op, path, error, place)
        self._record.write(to_json(event) + "\n")
        return not error


def last_place(log: Path) -> str:
    """Last FST that a log of XrdCl names."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    found: list[str] = _PLACE.findall(text)
    return found[-1] if found else ""


def main(addresses: str, directory: str, record: str, work: str, *settings: str) -> None:
    """The whole life of the process."""
    environment = dict(word.split("=", 1) for word in settings)
    loop = Loop(addresses.split(","), directory, Path(record), Path(work), environment)

    def listen() -> None:
        sys.stdin.readline()
        loop.stopping.set()

    threading.Thread(target=listen, daemon=True).start()
    loop.run()
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
