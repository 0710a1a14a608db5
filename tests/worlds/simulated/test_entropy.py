"""Seeded bytes."""

from thesan.worlds.simulated.entropy import SimEntropy


def test_seeded():
    one, same, other = SimEntropy("1"), SimEntropy("1"), SimEntropy("2")
    first = one.token(16)
    assert len(first) == 16
    assert first == same.token(16) != other.token(16)
    assert one.token(16) != first
