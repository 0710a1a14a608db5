"""What the journal keeps of leadership."""

import pytest

from thesan.core.leadership.records import (
    SUCCESSOR_KEY,
    MemberRecord,
    StoryRecord,
    SuccessorRecord,
    decode_leadership,
    encode_leadership,
    stories,
    stories_to_drop,
    story_key,
    successor_of,
)
from thesan.core.model.errors import Corrupt
from thesan.core.model.leadership_limits import HISTORY_KEPT_MAX


def test_records_come_back_and_damage_is_noticed():
    for record in (
        MemberRecord(5, "rack"),
        SuccessorRecord("a:1", 3, "ordered"),
        StoryRecord(3, "a:1", phases={"total": 1.5}),
    ):
        data = encode_leadership(record)
        assert decode_leadership(type(record), data) == record
        with pytest.raises(Corrupt):
            decode_leadership(type(record), data[:-1])


def test_a_successor_is_one_of_its_epoch_only():
    section = {SUCCESSOR_KEY: encode_leadership(SuccessorRecord("b:1", 7, "maintenance"))}
    assert successor_of(section, 7) == SuccessorRecord("b:1", 7, "maintenance")
    assert successor_of(section, 8) is None
    assert successor_of({}, 7) is None


def test_old_stories_make_room():
    section = {
        story_key(epoch): encode_leadership(StoryRecord(epoch, "a:1")) for epoch in range(1, 12)
    }
    assert [story.epoch for story in stories(section)] == list(range(1, 12))
    assert stories_to_drop(section) == []
    full = {story_key(epoch): b"" for epoch in range(HISTORY_KEPT_MAX + 2)}
    assert stories_to_drop(full) == [story_key(0), story_key(1), story_key(2)]
