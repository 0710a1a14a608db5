"""Bounds of what an MGM keeps on its own disk: segments, checkpoints, and how it is seeded.

As in limits: each with its reason.
"""

from typing import Final

from thesan.core.model.units import KIB, MIB

SEGMENT_BYTES: Final = 64 * MIB
"""Entries in one segment file, as the engine holds them: only closed segments let it trim."""
SEGMENT_SECONDS: Final = 3600.0
"""A segment with entries is closed after so long, so that a quiet instance's engine shrinks too."""
SEGMENT_BLOCK_BYTES: Final = 256 * KIB
"""Entries packed into one block: one batch at its bound. One more entry may be in it."""
SEGMENT_BLOCK_ENTRIES_MAX: Final = 4096
"""Entries of one block; bounds the list that a reader makes on a number it reads."""
SEGMENT_BLOCK_SECONDS: Final = 1.0
"""Entries gather so long for a block: what a killed MGM reads again from the engine, and the
accuracy of a restore to a time."""
SEGMENT_READ_BYTES: Final = 1 * MIB
"""Read from a segment at once: some blocks."""
SEGMENT_QUEUE_BYTES: Final = 16 * MIB
"""Applied entries that wait for the disk; when it is slower, they are read from the engine."""
SEGMENT_RETRY_SECONDS: Final = 5.0
"""Pause after the disk of the segments failed."""
SEGMENTS_KEEP_SECONDS: Final = 7 * 86400.0
"""Age up to which segments are kept, for restores to a time."""
SEGMENTS_KEEP_BYTES: Final = 64 * 1024 * MIB
"""Bytes of segments kept; the oldest go first."""
ARCHIVE_TEND_SECONDS: Final = 60.0
"""How often it is looked which segments and checkpoints may go, or are due."""
CHECKPOINT_KEEP_SECONDS: Final = 86400.0
"""One checkpoint a day is kept: a restore replays at most the journal of a day."""
CHECKPOINT_KEEP_BYTES: Final = 4 * 1024 * MIB
"""Segments after which a checkpoint is made although no day is over: some minutes of replay."""
CHECKPOINT_REUSE_SECONDS: Final = 60.0
"""A checkpoint younger than this seeds a peer; otherwise a new one is made for it."""
CHECKPOINT_IDLE_SECONDS: Final = 600.0
"""A checkpoint made for a peer is kept so long after the peer's last question."""
CHECKPOINT_PAGE_BYTES: Final = 256 * KIB
"""Pairs of one page: about 2500, 3 ms of a worker."""
CHECKPOINTS_SERVED_MAX: Final = 4
"""Checkpoints open for peers at the same time."""
SEED_PAUSE_SECONDS: Final = 0.2
"""Pause before a peer is asked again, doubled up to SEED_PAUSE_SECONDS_MAX."""
SEED_PAUSE_SECONDS_MAX: Final = 5.0
"""A peer that restarts is found again within it."""
SEED_TRIES_MAX: Final = 8
"""Failures in a row after which another peer is tried: half a minute."""
