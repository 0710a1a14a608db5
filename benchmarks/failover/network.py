"""Hosts as network namespaces on one switch: cables, partitions, and all processes of a host.

Everything lives in namespaces of its own, named `<prefix>-<host>`: nothing is added to the root
namespace, and beds with different prefixes have the same addresses and do not see each other.
Rules are set in the switch, by port, so that no host can see or undo them. Needs root, iproute2,
util-linux (nsenter) and nftables.
"""

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SWITCH = "sw"
NAMESPACES = Path("/run/netns")
PREFIX = "thb"
"""Start of the names of all beds; the pid of their maker and a number follow."""
_CLONE_NEWNET = 0x40000000
_TABLE = """table bridge thesan {
 chain faults {
  type filter hook forward priority 0; policy accept;
 }
}
"""
_numbers = itertools.count(1)
NEEDED = ("ip", "nft", "nsenter", "sysctl")
"""Programs without which there is no bed."""
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""They are root's, and a session's PATH may be a user's."""
DEATH_SECONDS_MAX = 5.0
"""Time for killed processes to leave their namespace."""


class BedError(Exception):
    """The bed can't do what was asked: not a finding about thesan."""


@dataclass(frozen=True)
class Cut:
    """Frames from `source` to `target` are dropped in the switch; empty: from or to anybody."""

    source: str = ""
    target: str = ""
    ports: tuple[int, ...] = ()
    """Only TCP segments from or to these ports; empty: everything, ARP too."""

    def rules(self) -> list[str]:
        """Lines for nft."""
        way = ""
        if self.source:
            way += f'iifname "{self.source}" '
        if self.target:
            way += f'oifname "{self.target}" '
        head = f"add rule bridge thesan faults {way}"
        if not self.ports:
            return [f"{head}counter drop"]
        ports = ", ".join(str(port) for port in self.ports)
        return [f"{head}tcp {side} {{ {ports} }} counter drop" for side in ("dport", "sport")]


def both_ways(left: str, right: str, ports: tuple[int, ...] = ()) -> list[Cut]:
    """Nothing passes between two hosts."""
    return [Cut(left, right, ports), Cut(right, left, ports)]


def isolated(host: str, ports: tuple[int, ...] = ()) -> list[Cut]:
    """Nothing passes between a host and all others."""
    return [Cut(source=host, ports=ports), Cut(target=host, ports=ports)]


def missing() -> str:
    """Why no bed can be made here; empty when one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (apt: iproute2 nftables util-linux procps)"
    return ""


def run(*argv: str, text: str = "") -> str:
    """A command that must succeed; its output. BedError says what it said."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        raise BedError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Network:
    """A switch and its hosts. `hosts`: name -> last octet of 10.77.0.x."""

    def __init__(self, hosts: Mapping[str, int], prefix: str = "") -> None:
        self.prefix = prefix or f"{PREFIX}{os.getpid()}_{next(_numbers)}"
        self.hosts = dict(hosts)

    def name(self, host: str) -> str:
        """Namespace of a host."""
        return f"{self.prefix}-{host}"

    def address(self, host: str) -> str:
        """Its IPv4 address."""
        return f"10.77.0.{self.hosts[host]}"

    # -- up and down -----------------------------------------------------------------------------
    def up(self) -> None:
        """Make switch and hosts; what an earlier bed of this prefix left is removed first."""
        self.down()
        switch = self.name(SWITCH)
        run("ip", "netns", "add", switch)
        lines = ["link add br0 type bridge stp_state 0 forward_delay 0", "link set dev br0 up"]
        for host in self.hosts:
            run("ip", "netns", "add", self.name(host))
            lines.append(f"link add name {host} type veth peer name eth0 netns {self.name(host)}")
            lines.append(f"link set dev {host} master br0 up")
        run("ip", "-n", switch, "-batch", "-", text="\n".join(lines))
        for host in self.hosts:
            address = f"{self.address(host)}/24"
            lines = [f"addr add {address} dev eth0", "link set dev lo up", "link set dev eth0 up"]
            run("ip", "-n", self.name(host), "-batch", "-", text="\n".join(lines))
        self._nft(_TABLE)

    def down(self) -> None:
        """Kill what runs in the bed, then remove it."""
        for name in sorted(path.name for path in NAMESPACES.glob(f"{self.prefix}-*")):
            kill_all(name)
            run("ip", "netns", "del", name)

    # -- processes -------------------------------------------------------------------------------
    def argv(self, host: str, words: Iterable[str]) -> list[str]:
        """A command line that runs on a host. It shares our mounts, unlike `ip netns exec`."""
        return ["nsenter", f"--net={NAMESPACES / self.name(host)}", "--", *words]

    def pids(self, host: str) -> list[int]:
        """Every process of a host."""
        return pids_in(self.name(host))

    def kill(self, host: str) -> None:
        """kill -9 of everything on a host, and wait until it is gone."""
        kill_all(self.name(host))

    @contextlib.contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """This thread's new sockets are those of `host`."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as home:
            _enter(libc, NAMESPACES / self.name(host))
            try:
                yield
            finally:
                if libc.setns(home.fileno(), _CLONE_NEWNET) != 0:
                    raise BedError(f"can't return from {host}: {os.strerror(ctypes.get_errno())}")

    # -- faults ----------------------------------------------------------------------------------
    def unplug(self, host: str) -> None:
        """Pull the cable: the host sees no carrier, the others silence."""
        run("ip", "-n", self.name(SWITCH), "link", "set", "dev", host, "down")

    def plug(self, host: str) -> None:
        """Put it in again."""
        run("ip", "-n", self.name(SWITCH), "link", "set", "dev", host, "up")

    def cut(self, cuts: Sequence[Cut]) -> None:
        """Drop frames from now on, in addition to what is dropped already."""
        self._nft("\n".join(rule for one in cuts for rule in one.rules()) + "\n")

    def heal(self) -> None:
        """Drop nothing any more; cables are not touched."""
        self._nft("flush chain bridge thesan faults\n")

    def dropped(self) -> int:
        """Frames that the present rules dropped."""
        text = self._nft_words("list", "chain", "bridge", "thesan", "faults").split()
        return sum(int(text[at + 1]) for at, word in enumerate(text) if word == "packets")

    def _nft(self, text: str) -> None:
        run(*self.argv(SWITCH, ["nft", "-f", "-"]), text=text)

    def _nft_words(self, *words: str) -> str:
        return run(*self.argv(SWITCH, ["nft", *words]))


def _enter(libc: ctypes.CDLL, namespace: Path) -> None:
    with open(namespace, "rb") as file:
        if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise BedError(f"can't enter {namespace}: {os.strerror(ctypes.get_errno())}")


def pids_in(namespace: str) -> list[int]:
    """Processes of a namespace; none when it is gone."""
    if not (NAMESPACES / namespace).exists():
        return []
    return [int(word) for word in run("ip", "netns", "pids", namespace).split()]


def kill_all(namespace: str) -> None:
    """kill -9 until nobody is left. Zombies are in no namespace any more."""
    deadline = time.monotonic() + DEATH_SECONDS_MAX
    while pids := pids_in(namespace):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise BedError(f"{namespace}: {pids} do not die")
        time.sleep(0.002)


def remove_forsaken() -> list[str]:
    """Remove the beds of processes that are gone (killed before they could); their prefixes."""
    found: dict[str, None] = {}
    for path in NAMESPACES.glob(f"{PREFIX}*-*") if NAMESPACES.is_dir() else ():
        prefix = path.name.rpartition("-")[0]
        digits = prefix.removeprefix(PREFIX).partition("_")[0]
        if digits.isdigit() and not Path(f"/proc/{digits}").exists():
            found[prefix] = None
    for prefix in found:
        Network({}, prefix).down()
    return list(found)
