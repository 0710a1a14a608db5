"""What the journal keeps of leadership: members, the named successor, the story of each switch.

Values of ConfigSet ops, msgpack maps so that a field can be added with a default. Sections and
keys: `member` by `host:port`, `mgm`/`successor`, `history` by epoch.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from thesan.core.model.errors import Corrupt
from thesan.core.model.leadership_limits import HISTORY_KEPT_MAX

MEMBER_SECTION: Final = "member"
HISTORY_SECTION: Final = "history"
SUCCESSOR_SECTION: Final = "mgm"
SUCCESSOR_KEY: Final = "successor"
_EPOCH_DIGITS: Final = 12


class LeadershipRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of all."""


class MemberRecord(LeadershipRecord, frozen=True, omit_defaults=True):
    """One MGM of the instance."""

    since_ns: int = 0
    comment: str = ""


class SuccessorRecord(LeadershipRecord, frozen=True, omit_defaults=True):
    """The master of `epoch` serves nothing more and waits for `node` to claim."""

    node: str
    epoch: int
    why: str = ""


class StoryRecord(LeadershipRecord, frozen=True, omit_defaults=True):
    """One switch."""

    epoch: int
    node: str
    before: str = ""
    """The master before; empty for the first."""
    ground: str = ""
    """core.leadership.decision.Claim, as text."""
    why: str = ""
    since_ns: int = 0
    """Wall clock of the claim."""
    phases: dict[str, float] = {}
    """Milliseconds: silence (until the decision), claim, replay, lease (waited for reads of the old
    master to end), total (decision until ready)."""


_R = TypeVar("_R", bound=LeadershipRecord)
_encoder: Final = msgspec.msgpack.Encoder()


def encode_leadership(record: LeadershipRecord) -> bytes:
    """Value of a ConfigSet op."""
    return _encoder.encode(record)


def decode_leadership(kind: type[_R], data: bytes) -> _R:
    """Raises Corrupt: a master wrote it, so it must be readable."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Corrupt(f"unreadable {kind.__name__}: {error}") from error


def story_key(epoch: int) -> str:
    """Keys sort as epochs do."""
    return f"{epoch:0{_EPOCH_DIGITS}d}"


def stories(section: Mapping[str, bytes]) -> list[StoryRecord]:
    """All switches kept, oldest first."""
    return [decode_leadership(StoryRecord, section[key]) for key in sorted(section)]


def stories_to_drop(section: Mapping[str, bytes]) -> list[str]:
    """Keys that make room for one more within HISTORY_KEPT_MAX."""
    excess = len(section) + 1 - HISTORY_KEPT_MAX
    return sorted(section)[:excess] if excess > 0 else []


def successor_of(section: Mapping[str, bytes], epoch: int) -> SuccessorRecord | None:
    """Whom the master of `epoch` has named, and why; None when nobody."""
    data = section.get(SUCCESSOR_KEY)
    if data is None:
        return None
    record = decode_leadership(SuccessorRecord, data)
    return record if record.epoch == epoch else None
