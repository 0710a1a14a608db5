"""Checksums of a file that is being written, as long as it is written from front to back."""


class RunningSums:
    """adler32 and crc32c of the first `end` bytes.

    Valid while every write begins where the last one ended; else they are taken at the close by
    reading the file again.
    """

    __slots__ = ("end", "is_valid", "values")

    def __init__(self, *, is_valid: bool = True) -> None:
        """`is_valid` false: the file has content that these sums did not see."""
        self.is_valid = is_valid
        self.end = 0
        self.values = (1, 0)
        """(adler32, crc32c); those of no bytes are 1 and 0."""

    def continues(self, offset: int) -> bool:
        """Whether a write at `offset` can be summed on the way."""
        return self.is_valid and offset == self.end

    def advance(self, byte_count: int, values: tuple[int, int]) -> None:
        """`byte_count` bytes more were written and summed."""
        self.end += byte_count
        self.values = values

    def spoil(self) -> None:
        """A write came out of order."""
        self.is_valid = False

    def truncated(self, size: int) -> None:
        """The file was cut or lengthened."""
        if size == 0:
            self.is_valid, self.end, self.values = True, 0, (1, 0)
        elif size != self.end:
            self.is_valid = False

    def of(self, size: int) -> tuple[int, int] | None:
        """The checksums of a file of `size` bytes, None when it must be read."""
        return self.values if self.is_valid and self.end == size else None
