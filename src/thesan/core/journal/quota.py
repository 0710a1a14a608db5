"""What a master still takes on while the engine fills up: trims keep room to get out of it.

An engine with a quota (etcd) refuses every write when it is reached, takeovers and heartbeats too:
the instance stands still until an operator runs `thesan engine recover`. So the master stops early,
and in steps, before that point.
"""

import errno
from enum import IntEnum

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import QUOTA_ESSENTIAL_PERCENT, QUOTA_TRIM_PERCENT


class Admission(IntEnum):
    """What may be written, from all to next to nothing. A larger value forbids more."""

    ALL = 0
    """Everything."""
    ESSENTIAL = 1
    """No bulk: no new names, no uploads. Still: commits of uploads under way, removals, changes of
    configuration, what admins and FSTs send."""
    TRIM = 2
    """No op at all; the engine is trimmed, and the owner beats."""


def admission(used_bytes: int, quota_bytes: int) -> Admission:
    """What a master may write with `used_bytes` of `quota_bytes` in use; a quota of 0 is none.

    For the MGM: call it with each EngineStatus that the checkpointer reads (`status.used_bytes`,
    `status.quota_bytes`), keep the result, and look at it before an op is submitted:

        self.admission = admission(status.used_bytes, status.quota_bytes)
        ...
        admit(self.admission, is_bulk=True)     # raises what the client is to be told

    A status that is not `healthy` tells old figures: keep the last result then.
    """
    if quota_bytes <= 0:
        return Admission.ALL
    if used_bytes * 100 >= quota_bytes * QUOTA_TRIM_PERCENT:
        return Admission.TRIM
    if used_bytes * 100 >= quota_bytes * QUOTA_ESSENTIAL_PERCENT:
        return Admission.ESSENTIAL
    return Admission.ALL


def admit(now: Admission, *, is_bulk: bool) -> None:
    """Return when an op may be submitted. Raises OperationError EUSERS: clients wait and retry.

    `is_bulk`: makes a name, reserves file ids, or is one of many alike (mkdir, touch, open for
    writing, a recursive change); not: a commit, a removal, configuration, quota, attributes.
    """
    if now is Admission.ALL or (now is Admission.ESSENTIAL and not is_bulk):
        return
    raise OperationError(
        errno.EUSERS, "the journal engine is nearly full: it is being trimmed, try again"
    )
