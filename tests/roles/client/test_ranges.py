"""Vector reads keep to what servers take."""

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import READV_ITEM_BYTES_MAX
from thesan.roles.client.ranges import groups as cut


def test_vector_reads_are_cut_into_what_servers_take():
    big = READV_ITEM_BYTES_MAX
    groups = cut([(0, big)] * 70)
    assert sum(len(group) for group in groups) == 70
    assert max(sum(length for _, length in group) for group in groups) <= 64 << 20
    for item in [(-1, 5), (0, -1), (0, big + 1)]:
        with pytest.raises(OperationError):
            cut([item])
