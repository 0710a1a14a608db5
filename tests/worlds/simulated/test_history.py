"""The order checker accepts what can be explained and nothing else."""

import random

import pytest

from thesan.worlds.simulated.history import UNKNOWN, History, Operation, Verb, explain


def put(value, start, end=UNKNOWN):
    return Operation("a", Verb.PUT, "k", value, start, end)


def get(value, start, end):
    return Operation("b", Verb.GET, "k", value, start, end)


def remove(found, start, end=UNKNOWN):
    return Operation("c", Verb.REMOVE, "k", "" if found else None, start, end)


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [get(None, 0, 1)],
        [put("x", 0, 1), get("x", 2, 3)],
        [put("x", 0, 5), get(None, 1, 2), get("x", 3, 4)],
        [put("x", 0, 5), put("y", 1, 4), get("x", 6, 7)],
        [put("x", 0), get(None, 1, 2), get("x", 8, 9)],
        [put("x", 0), get(None, 1, 2)],
        [put("x", 0, 1), remove(True, 2, 3), get(None, 4, 5)],
        [put("x", 0, 1), remove(True, 2), get("x", 4, 5), get(None, 6, 7)],
        [remove(False, 0, 1), put("x", 2, 3)],
        [put("x", 0, 1), put("y", 2), get("x", 3, 4), get("y", 5, 6), get("y", 7, 8)],
    ],
)
def test_explained(operations):
    assert explain(operations) == ""


@pytest.mark.parametrize(
    "operations",
    [
        [get("x", 0, 1)],
        [put("x", 0, 1), get(None, 2, 3)],
        [put("x", 0, 1), put("y", 2, 3), get("x", 4, 5)],
        [put("x", 0, 5), get("x", 1, 2), get(None, 3, 4)],
        [put("x", 0, 1), remove(True, 2, 3), get("x", 4, 5)],
        [put("x", 0, 1), remove(False, 2, 3)],
        [remove(True, 0, 1)],
        [put("x", 0, 1), put("y", 2), get("y", 3, 4), get("x", 5, 6)],
    ],
)
def test_not_explained(operations):
    assert "no order" in explain(operations)


@pytest.mark.parametrize("seed", range(20))
def test_histories_of_a_real_register_pass(seed):
    """Concurrent clients over a correct register: every answer is taken at a random moment."""
    dice = random.Random(seed)
    history = History()
    value: str | None = None
    moments = []
    for client in range(4):
        now = 0.0
        for number in range(10):
            start = now + dice.random()
            act = start + dice.random()
            end = act + dice.random()
            now = end
            moments.append((act, client, number, start, end, dice.choice(list(Verb))))
    for _, client, number, start, end, verb in sorted(moments):
        operation = history.call(str(client), verb, "k", None, start)
        operation.end = UNKNOWN if verb is Verb.PUT and dice.random() < 0.2 else end
        if verb is Verb.PUT:
            operation.value = value = f"{client}.{number}"
        elif verb is Verb.GET:
            operation.value = value
        else:
            operation.value = None if value is None else ""
            value = None
    assert history.check() == []


def test_a_broken_register_is_named_with_its_story():
    history = History()
    history.call("a", Verb.PUT, "k", "x", 0).end = 1
    history.call("b", Verb.GET, "k", None, 2).end = 3
    history.call("b", Verb.GET, "k", "never answered", 2)
    faults = history.check()
    assert len(faults) == 1
    assert "a put k 'x'" in faults[0]


def test_the_search_is_bounded(monkeypatch):
    monkeypatch.setattr("thesan.worlds.simulated.history.STATES_MAX", 10)
    operations = [put(str(number), 0, 100) for number in range(12)] + [get("none", 200, 201)]
    assert "not decided" in explain(operations)
