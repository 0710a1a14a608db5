"""Answers that wait until the journal holds what they show.

The master applies an op to its memory before the op is durable. Whatever shows such a state - the
answer to the mutation itself, a read that met the changed inode, an error that follows from it -
is held here under the number of the batch that makes it true, and leaves when that batch commits.
One write per connection and commit.

An answer that is true of the journal's state may still be true of the past: another MGM may have
become master. So none leaves after the read lease has ended, unless something that was sent after
it was computed is confirmed: then this MGM was master when it was computed.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from thesan.core.leadership.lease import ReadLease
from thesan.core.model.ids import Seq
from thesan.core.model.leadership_limits import LEASE_LAPSE_SECONDS_MAX
from thesan.core.wire import responses
from thesan.core.wire.numbers import NO_SID


class Receiver(Protocol):
    """The connection that a held answer leaves on; of a closed one `reply` does nothing."""

    def reply(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class HeldAnswers:
    """Answers by the seq they wait for. Bounded by the pending ops and the requests in flight."""

    def __init__(self, committed: Seq, lease: ReadLease, clock: Callable[[], float]) -> None:
        """`clock`: boot seconds, as the lease counts them."""
        self.committed = committed
        """Everything up to this batch is durable."""
        self.lease = lease
        self.clock = clock
        self._replies: dict[Seq, dict[Receiver, list[bytes]]] = {}
        self._computed_s: dict[Seq, float] = {}
        """When the youngest answer that waits for that batch was computed."""
        self._late: deque[tuple[float, Receiver, bytes]] = deque()
        """(computed, ...) of those whose batch is durable and for which the lease ended."""
        self._calls: dict[Seq, list[Callable[[], None]]] = {}
        self.count = 0
        """Answers held now."""

    @property
    def lapsed_s(self) -> float:
        """Seconds since the oldest answer waits for the lease; 0 when none does."""
        return self.clock() - self._late[0][0] if self._late else 0.0

    def answer(self, receiver: Receiver, seq: Seq, data: bytes) -> bytes | None:
        """`data` when what it shows is durable and this MGM is certainly master; else None, and it
        leaves when that is so. When others wait for long already: a kXR_wait in its place.

        `data` is one whole answer frame, or empty for who only wants to know when.
        """
        now_s = self.clock()
        if seq <= self.committed:
            if now_s < self.lease.until:
                return data
            if data and self._late and now_s - self._late[0][0] > LEASE_LAPSE_SECONDS_MAX:
                return responses.wait(data[: len(NO_SID)], 1, "the journal does not answer")
            self._late.append((now_s, receiver, data))
            self.count += 1
            return None
        receivers = self._replies.get(seq)
        if receivers is None:
            receivers = self._replies[seq] = {}
        waiting = receivers.get(receiver)
        if waiting is None:
            receivers[receiver] = [data]
        else:
            waiting.append(data)
        self._computed_s[seq] = now_s
        self.count += 1
        return None

    def call(self, seq: Seq, action: Callable[[], None]) -> None:
        """Run `action` when `seq` is durable: at once if it is."""
        if seq <= self.committed:
            action()
        else:
            self._calls.setdefault(seq, []).append(action)

    def release(self, committed: Seq, sent_s: float) -> None:
        """Everything up to `committed` is durable: send what waited for it, oldest batch first.

        `sent_s`: when the append was sent, or what was confirmed last.
        """
        assert committed >= self.committed
        self.committed = committed
        for seq in sorted(seq for seq in self._calls if seq <= committed):
            for action in self._calls.pop(seq):
                action()
        is_master = self.clock() < self.lease.until
        for seq in sorted(seq for seq in self._replies if seq <= committed):
            computed_s = self._computed_s.pop(seq)
            replies = self._replies.pop(seq)
            if is_master or computed_s <= sent_s:
                for receiver, answers in replies.items():
                    self.count -= len(answers)
                    receiver.reply(b"".join(answers) if len(answers) > 1 else answers[0])
            else:
                for receiver, answers in replies.items():
                    self._late.extend([(computed_s, receiver, data) for data in answers])

    def confirmed(self, sent_s: float) -> None:
        """Something that was sent at `sent_s` is in the journal; the lease knows already."""
        late = self._late
        if not late:
            return
        is_master = self.clock() < self.lease.until
        while late and (is_master or late[0][0] <= sent_s):
            _, receiver, data = late.popleft()
            self.count -= 1
            receiver.reply(data)

    def drop(self) -> None:
        """The outcome of everything pending is unknown: close the connections that wait.

        Their clients reconnect and ask again. A false answer could not be taken back.
        """
        receivers: dict[Receiver, None] = {}
        for waiting in self._replies.values():
            receivers.update(dict.fromkeys(waiting))
        receivers.update(dict.fromkeys(receiver for _, receiver, _ in self._late))
        self._replies.clear()
        self._computed_s.clear()
        self._late.clear()
        self._calls.clear()
        self.count = 0
        for receiver in receivers:
            receiver.close()
