"""Orders to replicas: round trips, and nothing but ControlError for other bytes."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.control import messages, replica
from thesan.core.model.errors import ControlError

ORDERS = [replica.Seal(5), replica.Settle(True)]
OUTCOMES = [replica.Sealed(1, 2, 3), replica.Done()]


@pytest.mark.parametrize("order", ORDERS)
def test_orders(order):
    assert replica.decode_order(replica.encode_order(order)) == order


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_outcomes(outcome):
    assert replica.decode_outcome(replica.encode_outcome(outcome)) == outcome


@given(st.binary(max_size=64), st.booleans())
def test_other_bytes(data, with_magic):
    with contextlib.suppress(ControlError):
        replica.decode_order(replica.MAGIC * with_magic + data)
    with contextlib.suppress(ControlError):
        replica.decode_outcome(data)


def test_the_two_families_do_not_mix():
    with pytest.raises(ControlError):
        messages.decode_request(replica.encode_order(ORDERS[0]))
    with pytest.raises(ControlError):
        replica.decode_order(messages.MAGIC + b"\x80")
    with pytest.raises(ControlError):
        replica.decode_order(replica.MAGIC + replica.encode_outcome(OUTCOMES[0]))
