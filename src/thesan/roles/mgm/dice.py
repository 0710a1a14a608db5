"""Unpredictable bytes by the spoonful: a system call for every open would be its largest part."""

from thesan.core.model.limits import DICE_POOL_BYTES
from thesan.ports.entropy import Entropy


class Dice:
    """Draws from a pool that is refilled from the world's entropy; nothing is given out twice."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._pool = b""
        self._used = 0

    def take(self, byte_count: int) -> bytes:
        """`byte_count` (at most DICE_POOL_BYTES) unpredictable bytes."""
        start = self._used
        end = start + byte_count
        if end > len(self._pool):
            assert byte_count <= DICE_POOL_BYTES
            self._pool = self._entropy.token(DICE_POOL_BYTES)
            start, end = 0, byte_count
        self._used = end
        return self._pool[start:end]

    def number(self) -> int:
        """64 unpredictable bits."""
        return int.from_bytes(self.take(8), "little")
