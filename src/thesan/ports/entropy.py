"""Unpredictable bytes: nonces, session ids, keys."""

from typing import Protocol


class Entropy(Protocol):
    """The operating system's generator, or a seeded one in the simulation."""

    def token(self, byte_count: int) -> bytes:
        """`byte_count` unpredictable bytes."""
        ...
