"""The entropy of the real world."""

from thesan.worlds.real.entropy import RealEntropy


def test_tokens_have_their_length_and_differ():
    entropy = RealEntropy()
    assert len(entropy.token(12)) == 12
    assert entropy.token(16) != entropy.token(16)
