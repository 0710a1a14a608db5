"""Messages that every MGM answers in every role."""

import errno

import msgspec
import pytest

from thesan.core.control.messages import (
    CheckpointPage,
    JournalPage,
    MgmBeat,
    NodeReport,
    Watch,
)
from thesan.core.model.errors import OperationError
from thesan.roles.mgm import any_role

BEAT = MgmBeat("mgm9:1094", "b", "standby", 3, 1, 1, False, "", NodeReport())


def test_before_there_is_anything_to_serve(cold, alice) -> None:
    cold.journal.has_leader = False
    cold.start(wait=False)
    leader = cold.control(Watch(), alice)
    assert (leader.master_address, leader.role, leader.mgms) == ("", "starting", ["mgm:1094"])
    reply = cold.control(BEAT)
    assert (reply.epoch, reply.master_address) == (0, ""), "hearsay: it may have been proposed only"
    reply = cold.control(msgspec.structs.replace(BEAT, role="master"))
    assert (reply.epoch, reply.master_address) == (3, "")
    cold.stop()


def test_only_daemons_are_heard(bench, alice) -> None:
    for message in (BEAT, CheckpointPage(), JournalPage(1)):
        with pytest.raises(OperationError) as caught:
            bench.control(message, alice)
        assert caught.value.errno in (errno.EPERM, errno.EACCES)
    assert bench.control(BEAT).master_address == "mgm:1094"
    assert set(any_role.KINDS) == {Watch, MgmBeat, CheckpointPage, JournalPage}


def test_an_mgm_without_segments_says_so(bench) -> None:
    for message in (CheckpointPage(), JournalPage(1)):
        with pytest.raises(OperationError) as caught:
            bench.control(message)
        assert caught.value.errno == errno.ENOTSUP
