"""The history of operations on names that several clients share, and whether it can be explained.

Each name is a register: a put writes a value, a remove writes absence, a get reads. The history is
linearizable when some order of the operations explains every answer and puts none of them outside
of the time between its call and its answer. An operation without an answer may have happened at
any time after its call, or never.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

UNKNOWN: Final = math.inf
"""`end` of an operation whose answer never came."""
STATES_MAX: Final = 200_000
"""Search bound of one name; reaching it is reported, never taken for a pass."""


class Verb(Enum):
    """What was asked of a name."""

    PUT = "put"
    GET = "get"
    REMOVE = "rm"


@dataclass(slots=True)
class Operation:
    """One call and its answer. Values written are unique in a run."""

    client: str
    verb: Verb
    key: str
    value: str | None
    """Written by PUT; read by GET (None: absent); REMOVE: None when it found nothing, else ""."""
    start: float
    end: float = UNKNOWN

    def __str__(self) -> str:
        end = "never answered" if self.end == UNKNOWN else f"{self.end:.6f}"
        return f"{self.client} {self.verb.value} {self.key} {self.value!r} {self.start:.6f}..{end}"


class History:
    """Operations in the order of their calls."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def call(self, client: str, verb: Verb, key: str, value: str | None, now: float) -> Operation:
        """Note a call; `Operation.end` is set when the answer comes."""
        operation = Operation(client, verb, key, value, now)
        self.operations.append(operation)
        return operation

    def check(self) -> list[str]:
        """A sentence for each name whose history can't be explained."""
        by_key: dict[str, list[Operation]] = {}
        for operation in self.operations:
            if operation.verb is Verb.GET and operation.end == UNKNOWN:
                continue  # an answer that never came claims nothing
            by_key.setdefault(operation.key, []).append(operation)
        faults = []
        for key, operations in by_key.items():
            fault = explain(operations)
            if fault:
                story = "\n  ".join(str(operation) for operation in operations)
                faults.append(f"{key}: {fault}:\n  {story}")
        return faults


def _effect(operation: Operation, held: str | None) -> tuple[bool, str | None]:
    """(whether the answer fits a register that holds `held`, what it holds afterwards)."""
    match operation.verb:
        case Verb.PUT:
            return True, operation.value
        case Verb.GET:
            return held == operation.value, held
        case Verb.REMOVE:
            if operation.end == UNKNOWN:
                return True, None
            return (held is None) == (operation.value is None), None
        case _:
            assert_never(operation.verb)


def explain(operations: list[Operation]) -> str:
    """Empty when some order explains the operations on one name (absent at first), else why not.

    Wing and Gong's search, with the states already seen remembered.
    """
    ordered = sorted(operations, key=lambda operation: operation.start)
    answered = sum(1 << i for i, operation in enumerate(ordered) if operation.end != UNKNOWN)
    seen: set[tuple[int, str | None]] = set()
    stack: list[tuple[int, str | None]] = [(0, None)]
    while stack:
        state = stack.pop()
        done, held = state
        if done & answered == answered:
            return ""
        if state in seen:
            continue
        seen.add(state)
        if len(seen) > STATES_MAX:
            return f"not decided within {STATES_MAX} states"
        first_end = min(operation.end for i, operation in enumerate(ordered) if not done >> i & 1)
        for i, operation in enumerate(ordered):
            if operation.start > first_end:
                break
            if not done >> i & 1:
                fits, after = _effect(operation, held)
                if fits:
                    stack.append((done | 1 << i, after))
    return "no order of these operations explains their answers"
