"""The objects of one FST and how they know each other."""

from typing import Final

from thesan import __version__
from thesan.core.authority.keytab import Keytab
from thesan.core.control.messages import NodeReport
from thesan.core.model.addresses import split_address
from thesan.io.node_report import node_report
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import ClientConnection, LoginSettings, dial
from thesan.io.transport.credentials import Method, host, keytab, unix
from thesan.io.transport.server import Listener
from thesan.ports.host import HostLoad
from thesan.ports.world import World
from thesan.roles.fst.answers import LateAnswers
from thesan.roles.fst.beats import Heart
from thesan.roles.fst.boot import Booter
from thesan.roles.fst.commits import Commits
from thesan.roles.fst.config import FstConfig
from thesan.roles.fst.deletions import Deletions
from thesan.roles.fst.finish import Finisher
from thesan.roles.fst.fleet import Fleet
from thesan.roles.fst.gate import Gate
from thesan.roles.fst.links import Peers
from thesan.roles.fst.mgms import Mgms
from thesan.roles.fst.open import Opener
from thesan.roles.fst.query import Queries
from thesan.roles.fst.read import Reads
from thesan.roles.fst.recovery import Recovery
from thesan.roles.fst.tpc import Rendezvous
from thesan.roles.fst.uploads import Uploads
from thesan.roles.fst.write import Writes

_BOOT_ID_BYTES: Final = 8
_LOGIN_USER: Final = "fst"
PEER_LOGIN: Final = "_fst"
"""Login name of an FST at another FST: asked for a proof of the keytab, as nobody else is."""


class Parts:
    """Made once the node's name is known."""

    def __init__(
        self,
        config: FstConfig,
        world: World,
        node: str,
        keys: Keytab,
        tasks: TaskOwner,
        listener: Listener,
    ) -> None:
        log, clock = world.log, world.clock
        own_host, self._port = split_address(node)
        self.node = node
        self._config = config
        self._world = world
        self._listener = listener
        self._keys = keys
        late = LateAnswers(tasks)
        partial_seconds = config.partial_seconds
        self.mgms = Mgms(config.mgms, self._dial_mgm, tasks, log)
        commits = Commits(node, self.mgms)
        recovery = Recovery(commits, self._epoch, tasks, clock, log)
        finisher = Finisher(commits, self._epoch, tasks, clock, log)
        self.uploads = Uploads(finisher, recovery, partial_seconds, tasks, log)
        booter = Booter(recovery, commits, self.uploads.active, partial_seconds, tasks, log)
        self.fleet = Fleet(
            config,
            node,
            world.disk,
            booter,
            self.mgms,
            world.entropy,
            world.host.load().machine_boot_id,
            tasks,
            log,
        )
        deletions = Deletions(self.fleet, self.uploads, recovery, tasks, log)
        boot_id = world.entropy.token(_BOOT_ID_BYTES).hex()
        self.heart = Heart(
            node,
            boot_id,
            self._describe,
            self.fleet,
            deletions,
            self.mgms,
            world.host,
            tasks,
            log,
        )
        self.fleet.on_change = self.heart.tell
        gate = Gate(keys, node, self.heart, self.fleet, self.mgms, clock)
        self.gate = gate
        self.peers = Peers(self._dial_peer)
        rendezvous = Rendezvous(self._dial_source, tasks, log)
        self.opener = Opener(gate, self.uploads, recovery, self.peers, rendezvous, tasks, log)
        self.reads = Reads(gate, own_host, tasks)
        self.writes = Writes(gate, self.opener, self.uploads, finisher, rendezvous, late, tasks)
        self.queries = Queries(
            gate, self.fleet, late, node, config.sitename, __version__, self._statistics
        )
        self.late = late
        self.recovery = recovery

    def _epoch(self) -> int:
        return self.heart.epoch

    # -- outgoing connections ----------------------------------------------------------------
    async def _dial_mgm(self, address: str, port: int) -> ClientConnection:
        login = LoginSettings(_LOGIN_USER, self._port, "thesan-fst", (self._proof(),))
        return await dial(address, port, login)

    def _proof(self) -> Method:
        world = self._world
        return keytab(self._keys, "fst", self.node, entropy=world.entropy, clock=world.clock)

    async def _dial_peer(self, address: str, port: int) -> ClientConnection:
        # The same name and number after a restart: fan-out tokens are bound to them.
        login = LoginSettings(PEER_LOGIN, self._port, "thesan-fst", (self._proof(),))
        # No more time for a dark host than any other: the writer waits meanwhile, and what is lost
        # with it is one replica of the uploads under way, not the upload.
        return await dial(address, port, login)

    async def _dial_source(self, address: str, port: int) -> ClientConnection:
        methods = (unix("daemon", "daemon"), host())
        return await dial(address, port, LoginSettings("daemon", self._port, "thesan", methods))

    # -- figures -----------------------------------------------------------------------------
    def _describe(self, load: HostLoad) -> NodeReport:
        return node_report(load, geotag=self._config.geotag, start_ns=load.boot_ns)

    def _statistics(self) -> bytes:
        """kXR_QStats: the elements of native's answer that have a meaning here."""
        stores = self.fleet.stores
        opened = sum(store.open_read + store.open_write for store in stores)
        name, port = split_address(self.node)
        tod = self._world.clock.now_ns() // 1_000_000_000
        return (
            f'<statistics tod="{tod}" ver="v{__version__}" src="{self.node}" pgm="thesan" '
            f'ins="fst" site="{self._config.sitename}">'
            f'<stats id="info"><host>{name}</host><port>{port}</port><name>fst</name></stats>'
            f'<stats id="link"><num>{self._listener.connection_count}</num></stats>'
            f'<stats id="xrootd"><ops><op>{opened}</op></ops></stats>'
            f"</statistics>\0"
        ).encode()
