"""Answers that wait until the journal holds what they show.

The master applies an op to its memory before the op is durable. Whatever shows such a state - the
answer to the mutation itself, a read that met the changed inode, an error that follows from it -
is held here under the number of the batch that makes it true, and leaves when that batch commits.
One write per connection and commit.
"""

from collections.abc import Callable
from typing import Protocol

from thesan.core.model.ids import Seq


class Receiver(Protocol):
    """The connection that a held answer leaves on; of a closed one `reply` does nothing."""

    def reply(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class HeldAnswers:
    """Answers by the seq they wait for. Bounded by the pending ops and the requests in flight."""

    def __init__(self, committed: Seq) -> None:
        self.committed = committed
        """Everything up to this batch is durable."""
        self._replies: dict[Seq, dict[Receiver, list[bytes]]] = {}
        self._calls: dict[Seq, list[Callable[[], None]]] = {}
        self.count = 0
        """Answers held now."""

    def answer(self, receiver: Receiver, seq: Seq, data: bytes) -> bytes | None:
        """`data` when what it shows is durable; else None, and it leaves when `seq` commits."""
        if seq <= self.committed:
            return data
        receivers = self._replies.get(seq)
        if receivers is None:
            receivers = self._replies[seq] = {}
        waiting = receivers.get(receiver)
        if waiting is None:
            receivers[receiver] = [data]
        else:
            waiting.append(data)
        self.count += 1
        return None

    def call(self, seq: Seq, action: Callable[[], None]) -> None:
        """Run `action` when `seq` is durable: at once if it is."""
        if seq <= self.committed:
            action()
        else:
            self._calls.setdefault(seq, []).append(action)

    def release(self, committed: Seq) -> None:
        """Everything up to `committed` is durable: send what waited for it, oldest batch first."""
        assert committed >= self.committed
        self.committed = committed
        for seq in sorted(seq for seq in self._calls if seq <= committed):
            for action in self._calls.pop(seq):
                action()
        for seq in sorted(seq for seq in self._replies if seq <= committed):
            for receiver, answers in self._replies.pop(seq).items():
                self.count -= len(answers)
                receiver.reply(b"".join(answers) if len(answers) > 1 else answers[0])

    def drop(self) -> None:
        """The outcome of everything pending is unknown: close the connections that wait.

        Their clients reconnect and ask again. A false answer could not be taken back.
        """
        receivers: dict[Receiver, None] = {}
        for waiting in self._replies.values():
            receivers.update(dict.fromkeys(waiting))
        self._replies.clear()
        self._calls.clear()
        self.count = 0
        for receiver in receivers:
            receiver.close()
