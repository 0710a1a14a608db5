"""`ports.entropy` from a seed: different for every process of a run, the same in every run."""

import random


class SimEntropy:
    """A seeded generator; never for production, which is why it lives here."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(f"{seed} entropy")

    def token(self, byte_count: int) -> bytes:
        """`byte_count` bytes."""
        return self._random.randbytes(byte_count)
