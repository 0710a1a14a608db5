"""The pool of unpredictable bytes."""

import pytest

from thesan.core.model.limits import DICE_POOL_BYTES
from thesan.roles.mgm.dice import Dice


class Counting:
    """Every byte pair is another one."""

    def __init__(self) -> None:
        self.calls = 0
        self.next = 0

    def token(self, byte_count: int) -> bytes:
        self.calls += 1
        self.next += byte_count
        return b"".join(
            n.to_bytes(4, "big") for n in range((self.next - byte_count) // 4, self.next // 4)
        )


def test_nothing_is_given_out_twice_and_the_system_is_asked_seldom() -> None:
    source = Counting()
    dice = Dice(source)
    draws = [dice.take(12) for _ in range(1000)]
    assert len(set(draws)) == 1000
    assert {len(draw) for draw in draws} == {12}
    assert source.calls <= 12 * 1000 // DICE_POOL_BYTES + 2


def test_numbers_have_64_bits() -> None:
    dice = Dice(Counting())
    numbers = [dice.number() for _ in range(10)]
    assert len(set(numbers)) == 10
    assert all(0 <= number < 1 << 64 for number in numbers)


def test_a_draw_is_bounded() -> None:
    with pytest.raises(AssertionError):
        Dice(Counting()).take(DICE_POOL_BYTES + 1)
