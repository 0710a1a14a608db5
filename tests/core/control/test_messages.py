"""Control messages: round trips, versions that meet, and nothing but ControlError."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.control import messages
from thesan.core.control.messages import (
    MAGIC,
    Admin,
    AdminReply,
    Beat,
    BeatReply,
    Commit,
    CommitReply,
    FileOp,
    FsConfig,
    FsReport,
    NodeReport,
    ReplicaCommit,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from thesan.core.model.errors import ControlError
from thesan.core.model.limits import REQUEST_BODY_BYTES_MAX

REQUESTS = [
    Beat(
        "h:1", "b", NodeReport(geotag="a::b"), [FsReport(1, "u", "/p", "booted")], deleted=[(1, 2)]
    ),
    Commit("h:1", b"grant", [ReplicaCommit(1, 2, 3, 4)], 5, failed_fsids=[9]),
    Admin("fs", "ls", {"a": [1, "x", {"y": None}]}, "id"),
    FileOp("symlink", "/a", {"target": "../b"}),
]
REPLIES = [
    BeatReply(True, 3, "h:1", ["h:1"], 7, filesystems=[FsConfig(1, "u", "/p", "rw")]),
    CommitReply(5, 6),
    AdminReply([{"id": 1}], "done", next_page="x"),
]


@pytest.mark.parametrize("message", REQUESTS)
def test_requests_come_back(message: messages.Request) -> None:
    assert decode_request(encode_request(message)) == message


@pytest.mark.parametrize("message", REPLIES)
def test_replies_come_back(message: messages.Reply) -> None:
    assert decode_reply(encode_reply(message)) == message


def test_a_newer_peer_may_say_more() -> None:
    body = MAGIC + msgspec.msgpack.encode({"type": "admin", "noun": "fs", "verb": "ls", "new": 1})
    assert decode_request(body) == Admin("fs", "ls")


def test_an_unknown_message_is_refused() -> None:
    with pytest.raises(ControlError):
        decode_request(MAGIC + msgspec.msgpack.encode({"type": "dance"}))
    with pytest.raises(ControlError, match="not a control message"):
        decode_request(b"/path?cgi")


def test_a_request_is_bounded() -> None:
    with pytest.raises(ControlError, match="too long"):
        encode_request(Admin("fs", "ls", {"x": "y" * REQUEST_BODY_BYTES_MAX}))


@given(st.binary(max_size=200))
def test_noise_raises_only_control_errors(noise: bytes) -> None:
    for decode in (decode_request, decode_reply):
        for body in (noise, MAGIC + noise):
            try:
                decode(body)
            except ControlError:
                continue


@pytest.mark.parametrize("message", REQUESTS)
def test_every_prefix_is_refused(message: messages.Request) -> None:
    body = encode_request(message)
    for size in range(len(body)):
        with pytest.raises(ControlError):
            decode_request(body[:size])
