"""An operator's order to hand over, and the answer that it gets when it is over."""

from thesan.core.control.messages import AdminReply, encode_reply
from thesan.core.leadership.records import StoryRecord
from thesan.core.model.errors import OperationError
from thesan.core.wire import responses
from thesan.roles.mgm.admin import leadership
from thesan.roles.mgm.held import Receiver


class Order:
    """One `ns master HOST` under way."""

    def __init__(self, receiver: Receiver, sid: bytes, wanted: str, who: str) -> None:
        self.wanted = wanted
        """Address or host of the successor."""
        self.who = who
        """Name of the operator."""
        self._receiver = receiver
        self._sid = sid

    def answer(self, story: StoryRecord | None) -> None:
        """It is done; the new master's own story, if it was heard in time."""
        if story is None:
            text = "handed over; the new master was not heard yet"
            reply = AdminReply(records=[], text=text)
        else:
            stall_ms = story.phases.get("total", 0.0)
            record = leadership.story_fields(story)
            text = f"{story.node} is master with epoch {story.epoch} after {stall_ms:.0f} ms"
            reply = AdminReply(records=[record], text=text)
        self._receiver.reply(responses.ok(self._sid, encode_reply(reply)))

    def refuse(self, error: OperationError) -> None:
        """It was not done."""
        self._receiver.reply(responses.error_of(self._sid, error))
