"""The other MGMs: each tells each other every second what it is, over a connection that stays.

Nothing here decides who is master; the journal does. But a process that says itself that it is no
more master, or whose connection was reset, need not be waited for as long as one that is silent;
and a master that hears of a higher epoch knows that its own is over.
"""

import asyncio
import errno
from collections.abc import Callable
from typing import Final

import msgspec

from thesan.core.authority.keytab import Keytab
from thesan.core.control.messages import (
    MgmBeat,
    MgmBeatReply,
    NodeReport,
    decode_reply,
    encode_request,
)
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import ControlError, OperationError, WireError
from thesan.core.model.leadership_limits import (
    MGM_BEAT_CALL_SECONDS_MAX,
    MGM_BEAT_SECONDS,
    MGM_SILENCE_SECONDS_MAX,
)
from thesan.core.model.limits import (
    BEAT_SECONDS_MIN,
    CLIENT_DIAL_SECONDS_MAX,
    MGM_COUNT_MAX,
    MGM_REDIAL_SECONDS,
)
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.core.wire.requests import Query
from thesan.io.node_report import node_report
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import ClientConnection, LoginSettings, dial, error_of
from thesan.io.transport.credentials import keytab
from thesan.ports.engine import Owner
from thesan.ports.world import World
from thesan.roles.mgm.admin.context import MgmState
from thesan.roles.mgm.config import MgmConfig

CLAIMING: Final = "claiming"
"""What an MGM says of itself while it asks for the journal: it may have it, and deposes nobody."""
_HOLDS: Final = ("master", CLAIMING)


class Peer(msgspec.Struct):
    """What is known of another MGM."""

    address: str
    beat: MgmBeat | None = None
    """The last thing it said."""
    heard_s: float = float("-inf")
    """Monotonic time of that."""
    is_gone: bool = False
    """Its process is dead, its host says so: our connection was reset or refused. False while
    nothing is known, as when a host is silent."""
    connection: ClientConnection | None = None
    wake: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    def is_online(self, now_s: float) -> bool:
        """Heard a moment ago, and not known to be dead."""
        return now_s - self.heard_s <= MGM_SILENCE_SECONDS_MAX and not self.is_gone

    def state(self, now_s: float, head: int) -> MgmState:
        """For `mgm ls`; `head` is the newest entry of the journal."""
        beat = self.beat
        if beat is None:
            why = "it was never heard"
            nothing = NodeReport()
            return MgmState(self.address, False, "", False, 0, 0, 0, head, "~", why, nothing)
        return MgmState(
            address=self.address,
            is_online=self.is_online(now_s),
            role=beat.role,
            eligible=beat.eligible or beat.role == "master",
            epoch=beat.epoch,
            applied=beat.applied,
            durable=beat.durable,
            lag=max(0, head - beat.applied),
            heartbeat=int(now_s - self.heard_s),
            why=beat.why,
            report=beat.report,
        )


class Myself(msgspec.Struct, frozen=True):
    """What this MGM says of itself, asked for at each beat."""

    role: str
    epoch: int
    applied: int
    durable: int
    eligible: bool
    why: str


class Peers:
    """All other MGMs, as many as there are members."""

    def __init__(
        self,
        world: World,
        config: MgmConfig,
        address: str,
        login: LoginSettings,
        boot_id: str,
        members: Callable[[], tuple[str, ...]],
        myself: Callable[[], Myself],
        hear: Callable[[int, str], MgmBeatReply],
    ) -> None:
        """`hear(epoch, master)` is told of what another MGM knows (`master` empty: of none), and
        answers what we know."""
        self._world = world
        self._geotag = config.geotag
        self._address = address
        self._login = login
        self._boot_id = boot_id
        self._members = members
        self._myself = myself
        self._hear = hear
        self._peers: dict[str, Peer] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._report = NodeReport()
        self._started_ns = world.clock.now_ns()

    # -- what they say ---------------------------------------------------------------------------
    def all(self) -> list[Peer]:
        """The other members, by address."""
        self._match_members()
        return [self._peers[address] for address in sorted(self._peers)]

    def get(self, address: str) -> Peer | None:
        """One."""
        return self._peers.get(address)

    @property
    def own_report(self) -> NodeReport:
        """Figures of this process, as the others get them."""
        return self._report

    def heard(self, message: MgmBeat) -> MgmBeatReply:
        """Another MGM's beat; the answer to it. One that is no member is answered too."""
        peer = self._peers.get(message.node)
        if peer is None and message.node != self._address and len(self._peers) < MGM_COUNT_MAX:
            peer = self._peers[message.node] = Peer(message.node)
        if peer is not None:
            peer.beat = message
            peer.heard_s = asyncio.get_running_loop().time()
        return self._hear(message.epoch, message.node if message.role == "master" else "")

    def has_resigned(self, owner: Owner) -> bool:
        """The MGM of that owner says itself that it is not master, and knows of this epoch. A
        process that was started anew says it for its dead predecessor at the same address."""
        peer = self._peers.get(owner.address)
        if peer is None or peer.beat is None:
            return False
        said = peer.beat
        is_fresh = peer.is_online(asyncio.get_running_loop().time())
        return is_fresh and said.role not in _HOLDS and said.epoch >= owner.epoch

    def is_gone(self, owner: Owner) -> bool:
        """Its process is dead; see Peer."""
        peer = self._peers.get(owner.address)
        return peer is not None and peer.is_gone

    def said_since(self, since_s: float) -> list[bool]:
        """Of each MGM that was heard after that time, whether it is eligible."""
        return [
            peer.beat.eligible
            for peer in self._peers.values()
            if peer.beat is not None and peer.heard_s >= since_s
        ]

    def durable(self) -> list[int]:
        """What the others that are there have on their disks, for trimming."""
        now_s = asyncio.get_running_loop().time()
        return [
            peer.beat.durable
            for peer in self._peers.values()
            if peer.beat is not None and peer.is_online(now_s)
        ]

    # -- what we say -----------------------------------------------------------------------------
    def tell(self) -> None:
        """Something changed that the others should know at once."""
        for peer in self._peers.values():
            peer.wake.set()

    async def run(self, tasks: TaskOwner) -> None:
        """Keep a link to every member, for ever."""
        while True:
            load = self._world.host.load()
            self._report = node_report(load, geotag=self._geotag, start_ns=self._started_ns)
            self._match_members()
            for address, peer in self._peers.items():
                keeper = self._keepers.get(address)
                if keeper is None or keeper.done():
                    self._keepers[address] = tasks.start(f"peer {address}", self._keep(peer))
            await asyncio.sleep(MGM_BEAT_SECONDS)

    def _match_members(self) -> None:
        members = self._members()
        for address in members:
            if address != self._address and address not in self._peers:
                self._peers[address] = Peer(address)
        for address in [one for one in self._peers if one not in members]:
            keeper = self._keepers.pop(address, None)
            if keeper is not None:
                keeper.cancel()
            del self._peers[address]

    async def _keep(self, peer: Peer) -> None:
        """Dial and beat, until the link breaks; `run` starts the next try."""
        host, port = split_address(peer.address)
        try:
            peer.connection = await dial(
                host, port, self._login, timeout=CLIENT_DIAL_SECONDS_MAX / 2
            )
        except OperationError as error:
            peer.is_gone = error.errno == errno.ECONNREFUSED
            return
        peer.is_gone = False
        try:
            await self._visit(peer)
        except (OperationError, ControlError, WireError) as error:
            broke = isinstance(error, OperationError) and error.errno == errno.ECONNRESET
            # A line that we gave up says nothing of the process at its other end.
            peer.is_gone = broke and not peer.connection.is_given_up
            self._world.log.info("MGM lost", mgm=peer.address, reason=str(error))
        finally:
            peer.connection.abort("the visit is over")
            peer.connection = None
        await asyncio.sleep(MGM_REDIAL_SECONDS)

    async def _visit(self, peer: Peer) -> None:
        """Beat on a fresh link until it breaks. Raises OperationError, ControlError."""
        connection = peer.connection
        assert connection is not None
        # A connection that breaks between two beats is noticed by the next one: at once.
        connection.lost.add_done_callback(lambda _: peer.wake.set())
        while True:
            peer.wake.clear()
            me = self._myself()
            beat = MgmBeat(
                node=self._address,
                boot_id=self._boot_id,
                role=me.role,
                epoch=me.epoch,
                applied=me.applied,
                durable=me.durable,
                eligible=me.eligible,
                why=me.why,
                report=self._report,
            )
            query = Query(NO_SID, QueryCode.OPAQUE, args=encode_request(beat))
            response = await connection.call(query, MGM_BEAT_CALL_SECONDS_MAX)
            if response.status != Status.OK:
                raise error_of(response)
            reply = decode_reply(bytes(response.body))
            if not isinstance(reply, MgmBeatReply):
                raise ControlError(f"answer is {type(reply).__name__}, not MgmBeatReply")
            self._hear(reply.epoch, reply.master_address)
            await asyncio.sleep(BEAT_SECONDS_MIN)
            try:
                async with asyncio.timeout(MGM_BEAT_SECONDS - BEAT_SECONDS_MIN):
                    await peer.wake.wait()
            except TimeoutError:
                pass


def peer_login(world: World, keys: Keytab, address: str) -> LoginSettings:
    """How an MGM logs in at another one: by the keytab, as an MGM."""
    proof = keytab(keys, "mgm", address, entropy=world.entropy, clock=world.clock)
    return LoginSettings("mgm", 1, "thesan-mgm", (proof,))
