"""Bounds and knobs of the journal in etcd, each with its reason; the rest is in limits.py."""

from typing import Final

from thesan.core.model.units import KIB, MIB

ETCD_CALL_SECONDS_MAX: Final = 0.5
"""Deadline of one call at one member: etcd itself holds a write for 7 s when it has no leader."""
ETCD_OVERDUE_SECONDS: Final = 2.0
"""A call that is not over so long after its deadline was forgotten by grpcio; longer than its
threads wait for a busy interpreter."""
ETCD_CALLS_SECONDS_MAX: Final = 2.0
"""Deadline of one call over all members, more with more than three; below APPEND_SECONDS_MAX. An
election (0.5 to 1.1 s) passes within it."""
ETCD_PAUSE_SECONDS: Final = 0.02
"""Pause after a round in which no member could serve: during an election they refuse at once."""
ETCD_PAUSE_SECONDS_MAX: Final = 0.2
"""The same for a watch, after some rounds: an etcd that is down for long is not worth a processor,
one that is back is found within a probe or two."""
ETCD_WATCH_SILENCE_SECONDS: Final = 0.6
"""A watch without an event for three beats is checked by a read, and reopened if it missed one."""
ETCD_RECONNECT_SECONDS_MAX: Final = 1.0
"""Longest pause before a member that was down is dialled again."""
ETCD_LEARN_SECONDS: Final = 2.0
"""How often members that failed are asked whether they are back: appends return to the leader."""
ETCD_FILES_SECONDS: Final = 5.0
"""How often certificate files are looked at for a change."""
ETCD_FILE_BYTES_MAX: Final = 1 * MIB
"""A certificate bundle or a password file."""
ETCD_ENDPOINTS_MAX: Final = 16
"""Members of one etcd; it advises at most seven."""
ETCD_PAGE_ENTRIES_MAX: Final = 128
"""Entries asked for in one read: at most 32 MiB, since etcd counts entries and not bytes."""
ETCD_ANSWER_BYTES_MAX: Final = 48 * MIB
"""One answer of etcd: a page of the largest entries with some room."""
ETCD_TRIM_ENTRIES: Final = 512
"""Entries dropped in one transaction: a few milliseconds of etcd."""
ETCD_REVISIONS_MAX: Final = 20_000
"""After so many revisions etcd forgets the older ones: each beat is one, five a second, also in an
instance at rest, and nothing else would ever make them go."""
ETCD_REVISIONS_KEPT: Final = 10_000
"""Of those: half an hour of beats, so that a watch that was cut goes on where it was."""
ETCD_ADOPT_BYTES: Final = 512 * KIB
"""Entries put in one transaction of a migration; etcd takes requests of 1.5 MiB."""
ETCD_ADOPT_ENTRIES: Final = 60
"""Entries put in one transaction of a migration; etcd takes 128 operations."""
ETCD_QUOTA_BYTES: Final = 2 << 30
"""etcd's quota where it is not told: the default of --quota-backend-bytes."""
ETCD_METRICS_BYTES_MAX: Final = 4 * MIB
"""Text of a member's /metrics: some 200 KiB."""
ETCD_UPKEEP_SECONDS_MAX: Final = 60.0
"""A defragmentation or a compaction of one member; 0.05 to 1.1 s were measured."""
MIGRATION_SILENCE_SECONDS: Final = 3.5
"""A journal whose owner is silent for longer than any standby would wait (3 s) has no owner."""
MIGRATION_PAGE_BYTES: Final = 4 * MIB
"""Entries that a migration holds in memory."""
