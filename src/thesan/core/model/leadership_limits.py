"""Bounds and times of leadership: who is master, and how fast that changes. As model.limits."""

from typing import Final

from thesan.core.model.units import MIB

FAILOVER_SECONDS: Final = {
    "fast": (0.1, 0.05, 0.8, 0.5, 0.4),
    "normal": (0.2, 0.1, 1.2, 0.75, 0.6),
    "slow": (0.5, 0.25, 3.0, 2.0, 1.5),
}
"""beat, probe, silence, short silence, read lease of each failover setting. Silence is 6 beats or
more, and longer than an election of the engine (500 ms; slow: 1 s); the lease is half of it; the
short silence is a quarter above the lease, more than clocks drift apart in it."""
OBSERVE_SECONDS_MAX: Final = 2.0
"""Deadline of one look at the journal: an engine tries each of its members for 0.5 s."""
PACEMAKER_CALL_SECONDS_MAX: Final = 2.0
"""Deadline of one beat, likewise."""
PACEMAKER_CLOSE_SECONDS_MAX: Final = 3.0
"""Time for the beat under way to end when a process stops."""
LOOP_TURN_SECONDS: Final = 0.1
"""How often the loop of an MGM tells its pacemaker that it turns."""
LOOP_STALL_SECONDS_MAX: Final = 3.0
"""A loop that did not turn for so long is hung, not busy: its pacemaker stops beating."""
LEADER_FRESH_SECONDS_MAX: Final = 1.0
"""A look at the journal that is older says nothing about who is master now: clients wait."""
PARK_SECONDS_MAX: Final = 1.0
"""A request that needs a master while there is none is kept so long, then told to wait: most
failovers end within it, and a kXR_wait costs its client a whole second."""
PARKED_REQUESTS_MAX: Final = 20_000
"""Requests kept that way; further ones are told to wait at once."""
PARKED_PER_TURN_MAX: Final = 256
"""Parked requests handled in one turn of the loop when there is a master: about 10 ms."""
CAUGHT_UP_WAIT_SECONDS_MAX: Final = 1.0
"""How long a standby lets a read wait for the journal entry that its client has seen."""
LEASE_LAPSE_SECONDS_MAX: Final = 1.0
"""Reads are held while the lease of a master has lapsed; after so long further ones are told to
wait."""
LAPSE_SECONDS_MIN: Final = 1.0
"""What the others say that long after the lease ended tells whether the engine answers them: they
look at it ten times in that time."""
WATCH_SECONDS_MAX: Final = 60.0
"""Longest poll for a newer master: shorter than what firewalls forget an idle connection after."""
CLAIM_SECONDS_MAX: Final = 2.0
"""A claim that the engine does not settle by then is decided anew: the master may live again."""
MGM_BEAT_SECONDS: Final = 1.0
"""Interval of the beats between MGMs; a change of role is told at once."""
MGM_SILENCE_SECONDS_MAX: Final = 2.5
"""What an MGM said is forgotten after so long: it is offline then."""
MGM_BEAT_CALL_SECONDS_MAX: Final = 2.0
"""An MGM that does not answer a beat by then is dialled anew."""
HANDOVER_SECONDS_MAX: Final = 2.0
"""A successor that did not claim by then is not waited for any longer: the old master goes on."""
LEAVE_SECONDS_MAX: Final = 5.0
"""A master that is stopped tries to hand over for so long: with an engine that answers, drain and
wait end within it."""
HANDOVER_POLL_SECONDS: Final = 0.02
"""How often the old master looks whether the successor has claimed."""
HANDOVER_LAG_ENTRIES_MAX: Final = 64
"""A successor may be that far behind when a hand-over begins: it catches up within 0.1 s."""
PACEMAKER_SWITCH_SECONDS: Final = 0.0005
"""Turn of a thread that holds the interpreter while another wants it (5 ms by default)."""
HANDOVER_HEARD_ENTRIES_MAX: Final = 10_000
"""What an MGM said of itself is up to a second old, and a journal grows by as much in a second; if
it really is behind, it says that it is not eligible."""
LOOP_BLOCKED_SECONDS: Final = 1.0
"""A turn of the loop that took so long is a trouble of this master."""
TROUBLES_PER_WINDOW_MAX: Final = 3
"""So many troubles within TROUBLES_WINDOW_SECONDS, and a master hands over by itself."""
TROUBLES_WINDOW_SECONDS: Final = 60.0
"""A trouble that long ago counts no more."""
MGM_FREE_BYTES_MIN: Final = 256 * MIB
"""An MGM whose disk has less left hands over before a write fails: two memtables of the store and
two segments of the journal."""
MGM_DISK_SECONDS: Final = 5.0
"""How often an MGM looks how full its disk is."""
MGM_DISK_SECONDS_MAX: Final = 10.0
"""A disk that does not say by then how full it is, is a fault too."""
FAULT_SECONDS: Final = 30.0
"""An MGM whose store failed, or that handed over because of troubles, is not eligible for so long,
unless it is alone."""
HISTORY_KEPT_MAX: Final = 100
"""Stories of master switches kept in the journal."""
