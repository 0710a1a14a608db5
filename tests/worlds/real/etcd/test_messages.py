"""The private descriptor pool: right on the wire, and no clash with another etcd package."""

import subprocess
import sys

from thesan.worlds.real.etcd import messages

CLASH = """
from google.protobuf import descriptor_pb2, descriptor_pool
for name, package in (("kv.proto", "mvccpb"), ("rpc.proto", "etcdserverpb")):
    document = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    for message in ("KeyValue", "TxnRequest", "ResponseHeader", "WatchRequest"):
        document.message_type.add(name=message)
    descriptor_pool.Default().Add(document)
    descriptor_pool.Default().FindMessageTypeByName(package + ".KeyValue")
ORDER
from thesan.worlds.real.etcd import messages
assert messages.TxnRequest().SerializeToString() == b""
assert "success" in messages.TxnRequest.DESCRIPTOR.fields_by_name
assert not [*descriptor_pool.Default().FindMessageTypeByName("mvccpb.KeyValue").fields]
"""


def test_wire_form():
    """Bytes made by hand from the field numbers of etcd's rpc.proto."""
    request = messages.TxnRequest(
        compare=[messages.Compare(target=3, key=b"k", value=b"v")],
        success=[messages.RequestOp(request_put=messages.PutRequest(key=b"k", value=b"w"))],
    )
    compare = b"\x10\x03" + b"\x1a\x01k" + b"\x3a\x01v"
    put = b"\x0a\x01k\x12\x01w"
    op = b"\x12" + bytes([len(put)]) + put
    expected = b"\x0a" + bytes([len(compare)]) + compare + b"\x12" + bytes([len(op)]) + op
    assert request.SerializeToString() == expected
    # A create revision of 0 must be sent: it is a member of a oneof.
    absent = messages.Compare(target=1, key=b"k", create_revision=0).SerializeToString()
    assert absent == b"\x10\x01\x1a\x01k\x28\x00"


def test_unknown_fields_are_skipped():
    response = messages.StatusResponse.FromString(b"\x12\x053.6.0" + b"\x5a\x033.6" + b"\x60\x20")
    assert (response.version, response.dbSizeQuota) == ("3.6.0", 32)


def test_no_clash_with_another_etcd_package():
    for before in (True, False):
        first, last = CLASH.split("ORDER")
        script = (
            first + last
            if before
            else "from thesan.worlds.real.etcd import messages\n" + (first + last)
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
