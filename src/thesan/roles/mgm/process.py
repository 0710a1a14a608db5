"""What outlives a role: the process, its ports, and what is remembered of others over all terms.

Roles are built from the store and dropped whole. What is kept here is soft: last beats, sessions,
who was heard as master. Losing it costs seconds of warmth, never truth.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Final

from thesan.core.authority.keytab import Keytab
from thesan.core.control.messages import Beat, BeatReply, Leader, MgmBeatReply
from thesan.core.leadership.timing import Timing, timing_of
from thesan.core.model.errors import Diverged, JournalError, OperationError, Trimmed
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.leadership_limits import (
    MGM_DISK_SECONDS,
    MGM_DISK_SECONDS_MAX,
    MGM_FREE_BYTES_MIN,
)
from thesan.core.model.limits import NODE_COUNT_MAX
from thesan.core.model.units import MIB
from thesan.ports.engine import Engine
from thesan.ports.pacemaker import Pacemaker
from thesan.ports.store import Store
from thesan.ports.world import World
from thesan.roles.mgm.admin.context import MgmState
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.data import MgmData
from thesan.roles.mgm.figures import Figures
from thesan.roles.mgm.fst_links import FstLinks
from thesan.roles.mgm.names import Names
from thesan.roles.mgm.observer import Observer
from thesan.roles.mgm.order import Order
from thesan.roles.mgm.peers import CLAIMING, Myself, Peers, peer_login
from thesan.roles.mgm.sessions import Sessions
from thesan.roles.mgm.watchers import Watchers

_BOOT_ID_BYTES: Final = 8
Flush = Callable[[], Awaitable[None]]
"""Makes everything written to the store durable, without stopping the loop."""


class Role(Enum):
    """What this MGM is now."""

    STARTING = "starting"
    """Opens its store and reads the journal; also on the way to mastership."""
    STANDBY = "standby"
    """Follows the journal, answers reads, may take over."""
    MASTER = "master"
    STOPPED = "stopped"


class Process:
    """One MGM process. Made once, at its start."""

    epoch: Epoch = Epoch(0)
    """Of the mastership that this MGM has or claims; 0 when it has none."""
    has_claimed: bool = False
    """The claim to `epoch` was won."""
    proposed_epoch: int = 0
    """Of the last claim of this MGM, whatever came of it."""
    highest_epoch: int = 0
    """Heard of anywhere, an epoch that was only proposed too: the next proposal is above it."""
    seen_epoch: int = 0
    """Of the last mastership that there certainly was: read in the journal, or an own one. FSTs
    and clients are told of no other: they obey nothing of an older one."""

    def __init__(
        self,
        world: World,
        config: MgmConfig,
        address: str,
        engine: Engine,
        store: Store,
        flush: Flush,
        pacemaker: Pacemaker,
        keytab: Keytab,
        sessions: Sessions,
        names: Names,
        figures: Figures,
    ) -> None:
        self.world = world
        self.config = config
        self.address = address
        """`host:port` under which clients know this MGM."""
        self.engine = engine
        self.store = store
        """Replaced by who seeds this MGM anew."""
        self.flush = flush
        self.pacemaker = pacemaker
        self.keytab = keytab
        self.sessions = sessions
        self.names = names
        self.figures = figures
        self._loop = asyncio.get_running_loop()
        self.started_s = self._loop.time()
        self.timing: Timing = timing_of(config.failover)
        self.observer = Observer(engine, self.timing, world.clock)
        self.role = Role.STARTING
        self.why = "starts"
        """One sentence: why it is, or is not, master."""
        self.is_eligible = False
        """It could take over now."""
        self._fault = ""
        self._fault_until_s = 0.0
        self.order_hand_over: Callable[[Order], None] = _disobey
        """Where `ns master HOST` goes."""
        self.on_deposed: Callable[[str], None] = _ignore
        """Told when another MGM says that our mastership is over."""
        self.applied: Callable[[], int] = _nothing
        """Last journal entry applied in memory; each role says it."""
        self.durable = 0
        """Last one whose effect is on the own disk."""
        self.data: MgmData | None = None
        """Segments, checkpoints and seeding; None: this MGM has a store only."""
        self.fst_links = FstLinks(world.log)
        self.beats: dict[str, tuple[Beat, float]] = {}
        """Last beat of each FST and when it came (monotonic), in whatever role."""
        self.watchers = Watchers(self.leader)
        self.boot_id = world.entropy.token(_BOOT_ID_BYTES).hex()
        self.peers = Peers(
            world,
            config,
            address,
            peer_login(world, keytab, address),
            self.boot_id,
            lambda: self.members,
            self._myself,
            self._hear,
        )
        self._members: tuple[str, ...] = ()

    def now_s(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    # -- members ---------------------------------------------------------------------------------
    def members_changed(self, section: Mapping[str, bytes]) -> None:
        """The journal says who is a member."""
        self._members = tuple(sorted(section))

    @property
    def members(self) -> tuple[str, ...]:
        """`host:port` of every MGM of the instance, this one too: what the journal says; before
        it says anything, what the settings say."""
        return self._members or self.config.mgms or (self.address,)

    @property
    def is_alone(self) -> bool:
        """No other MGM can be master. One that the journal does not name, in an instance of one,
        is that one under a new address."""
        members = self.members
        if members == (self.address,):
            return True
        return len(members) == 1 and not [one for one in self.config.mgms if one != self.address]

    @property
    def is_member(self) -> bool:
        """The journal knows it, or it is that one member under a new address."""
        return self.address in self.members or self.is_alone

    def others(self) -> list[str]:
        """Addresses of the other members."""
        return [address for address in self.members if address != self.address]

    # -- the own disk ----------------------------------------------------------------------------
    def closed_through(self) -> Seq | None:
        """Newest entry in a closed segment; None where no segments are kept."""
        return self.data.closed_through() if self.data is not None else None

    async def seed(self, why: JournalError) -> bool:
        """After Trimmed or Diverged: get a store that can be followed from. False when this MGM
        has no way to. Raises StoreError, Unavailable."""
        if self.data is None or not isinstance(why, Trimmed | Diverged):
            return False
        try:
            await self.data.reseed(why)
        finally:
            self.store = self.data.store
        return True

    # -- faults ----------------------------------------------------------------------------------
    def set_fault(self, text: str, seconds: float) -> None:
        """This MGM had better not be master for so long: `text` says why, as a sentence."""
        self._fault, self._fault_until_s = text, self.now_s() + seconds

    async def look_at_disk(self) -> str:
        """Why this MGM had better not be master because of its disk; empty when it may. Who asks
        every MGM_DISK_SECONDS keeps `fault` true."""
        if self.data is None:
            return ""
        try:
            async with asyncio.timeout(MGM_DISK_SECONDS_MAX):
                free = await self.data.free_bytes()
        except (OperationError, TimeoutError) as error:
            why = f"its disk does not answer: {error}"
        else:
            if free >= MGM_FREE_BYTES_MIN:
                return ""
            why = f"its disk has {free // MIB} MiB left"
        self.set_fault(why, MGM_DISK_SECONDS_MAX + 2 * MGM_DISK_SECONDS)
        return why

    @property
    def fault(self) -> str:
        """Why this MGM can't be master, as a sentence; empty when it can, or nobody else could."""
        if self.is_alone or self.now_s() >= self._fault_until_s:
            return ""
        return self._fault

    # -- FSTs ------------------------------------------------------------------------------------
    def note_beat(self, beat: Beat, now_s: float) -> None:
        """Remember the last beat of an FST, so that the next role knows it from its start."""
        if beat.node in self.beats or len(self.beats) < NODE_COUNT_MAX:
            self.beats[beat.node] = (beat, now_s)
        self.highest_epoch = max(self.highest_epoch, beat.epoch)
        if self.has_claimed and beat.epoch > self.epoch:
            # It obeys us no more. Right or wrong, only an epoch above that one gets it back.
            self.on_deposed(f"{beat.node} knows of epoch {beat.epoch}")

    # -- who is master ---------------------------------------------------------------------------
    def leader(self) -> Leader:
        """What this MGM knows now. `master_address` is empty in any doubt."""
        address = ""
        if self.role is Role.MASTER:
            epoch, address = int(self.epoch), self.address
        else:
            owner = self.observer.living_owner()
            epoch = self.seen_epoch
            if owner is not None and owner.address != self.address:
                epoch, address = int(owner.epoch), owner.address
        self.saw_epoch(epoch)
        return Leader(epoch, address, list(self.members), self.role.value, self.applied())

    def saw_epoch(self, epoch: int) -> None:
        """There is, or was, a master of that epoch."""
        self.seen_epoch = max(self.seen_epoch, epoch)
        self.highest_epoch = max(self.highest_epoch, epoch)

    # -- a mastership of one's own ---------------------------------------------------------------
    def propose(self, epoch: Epoch) -> None:
        """The journal is asked to be ours."""
        self.epoch = self.proposed_epoch = epoch
        self.has_claimed = False

    def claimed(self) -> None:
        """It is."""
        self.has_claimed = True
        self.saw_epoch(self.epoch)

    def resign(self) -> None:
        """It is not, or no more."""
        self.epoch = Epoch(0)
        self.has_claimed = False

    def standby_reply(self, beat: Beat) -> BeatReply:
        """To an FST, of who is not master: who is, as far as known, and nothing to obey."""
        leader = self.leader()
        return BeatReply(
            master=False,
            epoch=leader.epoch,
            master_address=leader.master_address,
            mgms=leader.mgms,
            config_seq=beat.config_seq,
        )

    def head(self) -> int:
        """Newest entry of the journal, as far as this MGM knows."""
        seen = self.observer.seen
        return max(self.applied(), int(seen.last) if seen is not None else 0)

    def lag(self) -> int:
        """Journal entries that are not applied here yet."""
        return self.head() - self.applied()

    def mgm_states(self) -> list[MgmState]:
        """Every member as it was heard last, and this one as it is."""
        now_s, head, me = self.now_s(), self.head(), self._myself()
        states = [
            MgmState(
                address=self.address,
                is_online=True,
                role=me.role,
                eligible=me.eligible or me.role == Role.MASTER.value,
                epoch=me.epoch,
                applied=me.applied,
                durable=me.durable,
                lag=self.lag(),
                heartbeat=0,
                why=me.why,
                report=self.peers.own_report,
            )
        ]
        states += [peer.state(now_s, head) for peer in self.peers.all()]
        return sorted(states, key=lambda state: state.address)

    # -- other MGMs ------------------------------------------------------------------------------
    def _myself(self) -> Myself:
        role = self.role.value
        if self.epoch:
            # Who has claimed says so before it serves: it must not seem to have resigned. Nor must
            # one whose claim may have been won; but it deposes nobody.
            role = Role.MASTER.value if self.has_claimed else CLAIMING
        return Myself(
            role=role,
            epoch=int(self.epoch) or self.highest_epoch,
            applied=self.applied(),
            durable=self.durable,
            eligible=self.is_eligible,
            why=self.why,
        )

    def _hear(self, epoch: int, master: str) -> MgmBeatReply:
        """Another MGM says which epoch it knows; whose, where it knows that."""
        self.highest_epoch = max(self.highest_epoch, epoch)
        if master:
            self.saw_epoch(epoch)
        if master and master != self.address and self.epoch and epoch > self.epoch:
            self.on_deposed(f"{master} is master with epoch {epoch}")
        leader = self.leader()
        return MgmBeatReply(leader.epoch, leader.master_address, leader.mgms)


def _nothing() -> int:
    return 0


def _ignore(why: str) -> None:
    """There is no mastership that could be over."""


def _disobey(order: Order) -> None:
    order.refuse(OperationError(errno.EAGAIN, "this MGM starts"))
