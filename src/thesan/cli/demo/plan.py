"""Where a demo instance lives: directories, addresses, the daemons' command lines.

Each daemon has a 127.0.0.x address of its own, because XRootD clients exclude a failed server by
host name without port: two on one address could not be told apart. MGM, FST and etcd member with
the same number are meant as one host: `demo kill-master --host` takes them down together.
"""

import contextlib
import errno
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Final

import msgspec

from thesan.cli.supervisor import DaemonSpec
from thesan.cli.supervisor_channel import DaemonState
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import OperationError

PLAN_FILE: Final = "demo.json"
SPECS_FILE: Final = "daemons.json"
STATE_FILE: Final = "state.json"
MGM_COUNT_MAX: Final = 7
"""More MGMs on one machine show nothing new."""
FST_COUNT_MAX: Final = 64
"""Addresses 127.0.0.11 to 127.0.0.74."""
FS_PER_FST: Final = 2
"""Two filesystems show that one FST process serves several."""
ENGINES: Final = ("sqlite", "etcd")
ETCD_COUNT: Final = 3
"""Members of a demo's own etcd: the smallest number of which one may die."""
ETCD_FLAGS: Final = (
    *("--heartbeat-interval", "50", "--election-timeout", "500", "--pre-vote"),
    *("--snapshot-count", "1000", "--experimental-initial-corrupt-check"),
    *("--grpc-keepalive-min-time", "500ms", "--logger", "zap"),
)
"""As docs/how-to/plan-mgms.md advises for real hosts, with its reasons."""
ETCD_STOP_SECONDS: Final = 0.5
"""A leader that ends with all its members looks for a successor for 5 s; killed, it loses nothing:
what it acknowledged is on disk."""


class EtcdAddresses(msgspec.Struct, frozen=True):
    """One member of a demo's etcd."""

    client: str
    """`host:port` for the MGMs."""
    peer: str
    """`host:port` for the other members."""


class Plan(msgspec.Struct):
    """One demo instance, as written in its directory."""

    directory: str
    mgms: list[str]
    """`host:port` of each MGM."""
    fsts: list[str]
    """`host:port` of each FST."""
    etcds: list[EtcdAddresses] = []
    """Members of its own etcd; none: the MGMs share a sqlite journal."""

    @property
    def url(self) -> str:
        """What clients connect to."""
        return "root://" + ",".join(self.mgms) + "/"

    @property
    def root(self) -> Path:
        """The demo's directory."""
        return Path(self.directory)

    @property
    def engine(self) -> str:
        """sqlite or etcd."""
        return "etcd" if self.etcds else "sqlite"

    @property
    def journal(self) -> str:
        """The engine as `daemon run mgm --journal` takes it."""
        if self.etcds:
            return "etcd:" + ",".join(one.client for one in self.etcds) + "/demo"
        return f"sqlite:{self.root}/journal.db"

    def names(self) -> dict[str, str]:
        """`host:port` of each MGM and FST: its name."""
        return {
            **{address: f"mgm{number}" for number, address in enumerate(self.mgms, 1)},
            **{address: f"fst{number}" for number, address in enumerate(self.fsts, 1)},
        }

    def host_of(self, name: str) -> list[str]:
        """All daemons that are on the same "host" as the one named: those of its number."""
        number = name.lstrip("abcdefghijklmnopqrstuvwxyz")
        return [spec.name for spec in self.specs() if spec.name in
                (f"etcd{number}", f"mgm{number}", f"fst{number}")]  # fmt: skip

    def specs(self) -> list[DaemonSpec]:
        """The daemons for the supervisor: engine, MGMs, FSTs."""
        return [
            *(self._etcd(number) for number in range(1, len(self.etcds) + 1)),
            *(self._mgm(number, address) for number, address in enumerate(self.mgms, 1)),
            *(self._fst(number, address) for number, address in enumerate(self.fsts, 1)),
        ]

    def _etcd(self, number: int) -> DaemonSpec:
        mine = self.etcds[number - 1]
        host, port = split_address(mine.client)
        name = f"etcd{number}"
        members = ",".join(f"etcd{n}=http://{one.peer}" for n, one in enumerate(self.etcds, 1))
        argv = [
            *("--name", name, "--data-dir", str(self.root / name)),
            *("--listen-client-urls", f"http://{mine.client}"),
            *("--advertise-client-urls", f"http://{mine.client}"),
            *("--listen-peer-urls", f"http://{mine.peer}"),
            *("--initial-advertise-peer-urls", f"http://{mine.peer}"),
            *("--initial-cluster", members, "--initial-cluster-state", "new"),
            *("--initial-cluster-token", f"demo-{self.etcds[0].client}", *ETCD_FLAGS),
        ]
        log = str(self.root / f"{name}.log")
        program = shutil.which("etcd") or "etcd"
        return DaemonSpec(
            name, "etcd", host, port, argv, log, program, stop_seconds=ETCD_STOP_SECONDS
        )

    def _mgm(self, number: int, address: str) -> DaemonSpec:
        host, port = split_address(address)
        name = f"mgm{number}"
        argv = [
            *("daemon", "run", "mgm", "--address", address),
            *("--data", str(self.root / name), "--journal", self.journal),
            *("--keytab", str(self.root / "keytab"), "--instance", "demo"),
            *("--members", ",".join(self.mgms), "--trust-user", str(os.getuid())),
        ]
        return DaemonSpec(name, "mgm", host, port, argv, str(self.root / f"{name}.log"))

    def _fst(self, number: int, address: str) -> DaemonSpec:
        host, port = split_address(address)
        name = f"fst{number}"
        argv = [
            *("daemon", "run", "fst", "--address", address, "--mgm", self.url),
            *("--keytab", str(self.root / "keytab"), "--geotag", f"demo::rack{number % 2 + 1}"),
        ]
        for fs in range(1, FS_PER_FST + 1):
            argv += ["--fs", f"{self.root / name}/fs{fs}:default"]
        return DaemonSpec(name, "fst", host, port, argv, str(self.root / f"{name}.log"))

    def save(self) -> None:
        """Write the plan and the supervisor's list."""
        (self.root / PLAN_FILE).write_bytes(msgspec.json.encode(self))
        (self.root / SPECS_FILE).write_bytes(msgspec.json.encode(self.specs()))


def default_directory() -> Path:
    """`$THESAN_DEMO_DIR`, or a place below the user's state directory."""
    chosen = os.environ.get("THESAN_DEMO_DIR")
    if chosen:
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "thesan" / "demo"


def make_plan(directory: Path, mgm_count: int, fst_count: int, engine: str = "sqlite") -> Plan:
    """Choose free addresses. Raises OperationError EINVAL for a count out of range, ENOENT for an
    engine that is not installed."""
    if not 1 <= mgm_count <= MGM_COUNT_MAX:
        raise OperationError(errno.EINVAL, f"--mgm is 1 to {MGM_COUNT_MAX}")
    if not 1 <= fst_count <= FST_COUNT_MAX:
        raise OperationError(errno.EINVAL, f"--fst is 1 to {FST_COUNT_MAX}")
    if engine not in ENGINES:
        raise OperationError(errno.EINVAL, f"--engine is {' or '.join(ENGINES)}")
    mgms = [free_address(f"127.0.0.{number}") for number in range(1, mgm_count + 1)]
    fsts = [free_address(f"127.0.0.{10 + number}") for number in range(1, fst_count + 1)]
    etcds = []
    if engine == "etcd":
        if shutil.which("etcd") is None:
            raise OperationError(
                errno.ENOENT,
                "--engine etcd needs the program `etcd`, which is not installed "
                "(Debian, Ubuntu, as root: apt-get install etcd-server). "
                "Without it: --engine sqlite, where all MGMs of this machine share one file",
            )
        etcds = [
            EtcdAddresses(free_address(f"127.0.0.{number}"), free_address(f"127.0.0.{number}"))
            for number in range(1, ETCD_COUNT + 1)
        ]
    return Plan(directory=str(directory), mgms=mgms, fsts=fsts, etcds=etcds)


def load_plan(directory: Path) -> Plan:
    """The plan of a demo that was started. Raises OperationError ENOENT when there is none."""
    try:
        return msgspec.json.decode((directory / PLAN_FILE).read_bytes(), type=Plan)
    except FileNotFoundError as error:
        raise OperationError(
            errno.ENOENT, f"no demo in {directory} (`thesan demo up` starts one)"
        ) from error
    except msgspec.DecodeError as error:
        raise OperationError(errno.EINVAL, f"{directory}/{PLAN_FILE} is damaged") from error


def load_state(directory: Path) -> tuple[int, list[DaemonState]]:
    """(supervisor pid, daemons), (0, []) when nothing runs."""
    try:
        state = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return 0, []
    pid = int(state.get("supervisor_pid", 0))
    daemons = msgspec.convert(state.get("daemons", []), type=list[DaemonState])
    return (pid, daemons) if is_alive(pid) else (0, daemons)


def is_alive(pid: int) -> bool:
    """True while a process with this pid runs; one that nobody has waited for yet does not."""
    if pid <= 0:
        return False
    with contextlib.suppress(OSError):
        # proc(5): the state follows the name, which is in brackets and may hold anything.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return not stat.rpartition(")")[2].strip().startswith("Z")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


_given: set[str] = set()


def free_address(host: str) -> str:
    """A `host:port` that nobody listens on now, and that was not given before."""
    while True:
        with socket.socket() as probe:
            probe.bind((host, 0))
            address = f"{host}:{probe.getsockname()[1]}"
        if address not in _given:
            _given.add(address)
            return address
