"""Addresses of daemons."""

import pytest

from thesan.core.model.addresses import is_address, join_address, split_address


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("h:1", True),
        ("10.0.0.1:1094", True),
        ("[::1]:1095", True),
        ("h", False),
        (":1", False),
        ("h:", False),
        ("h:0", False),
        ("h:65536", False),
        ("h:1x", False),
        ("h:²", False),
        ("", False),
    ],
)
def test_what_is_an_address(text, good):
    assert is_address(text) is good


@pytest.mark.parametrize("place", [("h", 1), ("::1", 1095), ("10.0.0.1", 65535)])
def test_there_and_back(place):
    assert split_address(join_address(*place)) == place
