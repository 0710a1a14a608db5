"""`ports.entropy` of this machine."""

import os


class RealEntropy:
    """The operating system's generator."""

    def token(self, byte_count: int) -> bytes:
        """`byte_count` unpredictable bytes."""
        return os.urandom(byte_count)
