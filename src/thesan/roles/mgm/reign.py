"""One mastership as the process lives it: begin, serve, freeze, hand over or lose, end."""

import asyncio
import errno
from collections.abc import Callable

import msgspec

from thesan.core.leadership.handover import Troubles
from thesan.core.model.errors import JournalError, OperationError
from thesan.core.model.leadership_limits import FAULT_SECONDS, LAPSE_SECONDS_MIN
from thesan.core.model.limits import MGM_DRAIN_SECONDS_MAX
from thesan.roles.mgm.handover import find_successor, hand_over
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.mastership import Mastership, begin_term
from thesan.roles.mgm.process import Process
from thesan.roles.mgm.standby import Mandate


class HandedOver(msgspec.Struct, frozen=True):
    """A switch that was wanted, as the old master saw it."""

    successor: str
    epoch: int
    """Of the mastership that ended."""
    frozen_s: float
    """Monotonic time from which nothing was answered."""


class Reign:
    """From a mandate to its end. `show` is told of the object graph to answer from; None: answer
    nothing as master."""

    def __init__(
        self, process: Process, mandate: Mandate, show: Callable[[Master | None, str], None]
    ) -> None:
        self._process = process
        self._mandate = mandate
        self._show = show
        self._term: Mastership | None = None
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._is_handing_over = False
        self._lapsed_s: float | None = None
        """Since when the lease has ended; None while it has not."""
        self._is_lapse_noted = False
        self._troubles = Troubles()

    async def run(self) -> str:
        """Be master; returns why it is over. Raises what `begin_term` does."""
        process = self._process
        process.observer.is_idle = True
        try:
            self._term = term = await begin_term(process, self._mandate, self._lose)
            process.on_deposed = term.master.pipeline.broken
            try:
                self._serve(term)
                why = await self._lost
            except asyncio.CancelledError:
                await self._abdicate(term)
                raise
            log = process.world.log
            note = log.info if self._is_handing_over else log.warning
            note("mastership lost", epoch=process.epoch, reason=why)
            if term.master.pipeline.store_failure:
                process.set_fault(f"its store failed: {why}", FAULT_SECONDS)
                if process.data is not None:
                    process.data.distrust()
            await term.close()
            return why
        finally:
            self._term = None
            process.on_deposed = _ignore
            process.resign()
            process.observer.is_idle = False
            process.peers.tell()

    def _serve(self, term: Mastership) -> None:
        if self._lost.done():
            return
        process, mandate = self._process, self._mandate
        self._show(term.master, mandate.verdict.why)
        process.world.log.info(
            "master",
            epoch=process.epoch,
            address=process.address,
            geotag=process.config.geotag,
            head=term.master.pipeline.held.committed,
            files=term.master.context.figures().file_count,
            reason=mandate.verdict.why,
            seconds=round(process.now_s() - mandate.decided_s, 3),
        )

    async def _abdicate(self, term: Mastership) -> None:
        """A planned end: take nothing more, finish what was taken."""
        self._show(None, "stops")
        try:
            async with asyncio.timeout(MGM_DRAIN_SECONDS_MAX):
                await term.drain()
        except (JournalError, TimeoutError) as error:
            self._process.world.log.warning("stopped with changes pending", reason=str(error))
        await term.close()

    def _lose(self, why: str) -> None:
        """From this moment on no request reaches the lost master."""
        self._show(None, f"is master no more: {why}")
        if not self._lost.done():
            self._lost.set_result(why)

    # -- on purpose ------------------------------------------------------------------------------
    async def hand_over(self, wanted: str, why: str) -> HandedOver:
        """Hand over to `wanted` (address or host; empty: who fits best).

        Raises OperationError: nobody can take it (this MGM goes on as master), or EAGAIN when the
        mastership ended in the middle.
        """
        process, term = self._process, self._term
        if term is None or self._lost.done():
            raise OperationError(errno.EAGAIN, "this MGM is not master now")
        if self._is_handing_over:
            raise OperationError(errno.EBUSY, "a hand-over is under way")
        successor = find_successor(process, wanted)
        epoch, frozen_s = int(process.epoch), process.now_s()
        self._is_handing_over = True
        self._show(None, f"hands over to {successor}: {why}")
        try:
            is_over = await hand_over(process, term, successor, why)
        except JournalError as error:
            raise OperationError(errno.EAGAIN, f"the mastership ended: {error}") from error
        except OperationError:
            raise
        except Exception as error:
            # Frozen, with nobody to say that it goes on: beating, it would keep everybody waiting.
            term.master.pipeline.broken(f"the hand-over failed: {error!r}")
            raise
        finally:
            self._is_handing_over = False
        if not is_over:
            if self._lost.done() or term.lost:
                raise OperationError(errno.EAGAIN, "the mastership ended during the hand-over")
            self._show(term.master, "goes on: the successor did not claim")
            raise OperationError(errno.ETIMEDOUT, f"{successor} did not claim the journal in time")
        return HandedOver(successor, epoch, frozen_s)

    # -- by its own decision ---------------------------------------------------------------------
    def blocked(self, seconds: float) -> None:
        """The loop stood still for so long."""
        self._troubles.note(f"the loop stood still for {seconds:.1f} s", self._process.now_s())

    def look(self) -> str:
        """Called often: why this master should hand over now, empty when it need not."""
        term, process = self._term, self._process
        if term is None or self._lost.done() or self._is_handing_over:
            return ""
        held = term.master.pipeline.held
        if held.clock() >= held.lease.until:
            self._look_at_lapse(process.now_s())
            return ""
        self._lapsed_s = None
        why = self._troubles.verdict(process.now_s())
        if why:
            self._troubles.forget()
        return why

    def _look_at_lapse(self, now_s: float) -> None:
        """The lease has ended: a trouble of this master, if the others get on well with the engine
        meanwhile. An engine that answers nobody is nobody's fault, and no hand-over helps."""
        if self._lapsed_s is None:
            self._lapsed_s = now_s
            self._is_lapse_noted = False
        if self._is_lapse_noted:
            return
        said = self._process.peers.said_since(self._lapsed_s + LAPSE_SECONDS_MIN)
        if said and all(said):
            self._troubles.note("the journal engine confirms its beats too late", now_s)
            self._is_lapse_noted = True


def _ignore(why: str) -> None:
    """Nothing to lose."""
