"""etcd's protobuf messages, those that thesan sends or reads, in a descriptor pool of their own.

Field names and numbers are those of etcd's api/mvccpb/kv.proto, api/etcdserverpb/rpc.proto and
api/authpb/auth.proto (3.4 to 3.6; unknown fields are skipped, absent ones read as zero). In the
default pool they would clash with the same files of any other etcd package in this process.
"""

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bytes": _FIELD.TYPE_BYTES,
    "string": _FIELD.TYPE_STRING,
    "int64": _FIELD.TYPE_INT64,
    "uint64": _FIELD.TYPE_UINT64,
    "int32": _FIELD.TYPE_INT32,
    "bool": _FIELD.TYPE_BOOL,
}
"""Enums are written as int32: the same bytes."""

_PACKAGE: Final = "etcdserverpb"

_MESSAGES: Final[dict[str, str]] = {
    # name: fields as `type name number`, `*` for repeated, `?` for a member of the one oneof.
    "KeyValue": "bytes key 1, int64 create_revision 2, int64 mod_revision 3, int64 version 4,"
    " bytes value 5, int64 lease 6",
    "Event": "int32 type 1, KeyValue kv 2",
    "ResponseHeader": "uint64 cluster_id 1, uint64 member_id 2, int64 revision 3,"
    " uint64 raft_term 4",
    "RangeRequest": "bytes key 1, bytes range_end 2, int64 limit 3, int64 revision 4,"
    " bool serializable 7, bool keys_only 8, bool count_only 9",
    "RangeResponse": "ResponseHeader header 1, *KeyValue kvs 2, bool more 3, int64 count 4",
    "PutRequest": "bytes key 1, bytes value 2",
    "PutResponse": "ResponseHeader header 1",
    "DeleteRangeRequest": "bytes key 1, bytes range_end 2",
    "DeleteRangeResponse": "ResponseHeader header 1, int64 deleted 2",
    "RequestOp": "?RangeRequest request_range 1, ?PutRequest request_put 2,"
    " ?DeleteRangeRequest request_delete_range 3",
    "ResponseOp": "?RangeResponse response_range 1, ?PutResponse response_put 2,"
    " ?DeleteRangeResponse response_delete_range 3",
    "Compare": "int32 result 1, int32 target 2, bytes key 3, ?int64 version 4,"
    " ?int64 create_revision 5, ?int64 mod_revision 6, ?bytes value 7, bytes range_end 64",
    "TxnRequest": "*Compare compare 1, *RequestOp success 2, *RequestOp failure 3",
    "TxnResponse": "ResponseHeader header 1, bool succeeded 2, *ResponseOp responses 3",
    "CompactionRequest": "int64 revision 1, bool physical 2",
    "CompactionResponse": "ResponseHeader header 1",
    "WatchCreateRequest": "bytes key 1, bytes range_end 2, int64 start_revision 3,"
    " bool progress_notify 4, *int32 filters 5, bool prev_kv 6, int64 watch_id 7, bool fragment 8",
    "WatchRequest": "?WatchCreateRequest create_request 1",
    "WatchResponse": "ResponseHeader header 1, int64 watch_id 2, bool created 3, bool canceled 4,"
    " int64 compact_revision 5, string cancel_reason 6, bool fragment 7, *Event events 11",
    "StatusRequest": "",
    "StatusResponse": "ResponseHeader header 1, string version 2, int64 dbSize 3, uint64 leader 4,"
    " uint64 raftIndex 5, uint64 raftTerm 6, uint64 raftAppliedIndex 7, *string errors 8,"
    " int64 dbSizeInUse 9, bool isLearner 10, int64 dbSizeQuota 12",
    "AlarmRequest": "int32 action 1, uint64 memberID 2, int32 alarm 3",
    "AlarmMember": "uint64 memberID 1, int32 alarm 2",
    "AlarmResponse": "ResponseHeader header 1, *AlarmMember alarms 2",
    "DefragmentRequest": "",
    "DefragmentResponse": "ResponseHeader header 1",
    "MoveLeaderRequest": "uint64 targetID 1",
    "MoveLeaderResponse": "ResponseHeader header 1",
    "Member": "uint64 ID 1, string name 2, *string peerURLs 3, *string clientURLs 4,"
    " bool isLearner 5",
    "MemberListRequest": "",
    "MemberListResponse": "ResponseHeader header 1, *Member members 2",
    "AuthenticateRequest": "string name 1, string password 2",
    "AuthenticateResponse": "ResponseHeader header 1, string token 2",
}


def _build() -> Any:
    """A pool that holds the messages above."""
    document = descriptor_pb2.FileDescriptorProto(
        name="thesan/etcd.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = document.message_type.add(name=name)
        if "?" in fields:
            message.oneof_decl.add(name="choice")
        for text in filter(None, fields.split(",")):
            kind, field_name, number = text.split()
            field = message.field.add(name=field_name, number=int(number))
            field.label = _FIELD.LABEL_REPEATED if kind[0] == "*" else _FIELD.LABEL_OPTIONAL
            if kind[0] == "?":
                field.oneof_index = 0
            plain = kind.lstrip("*?")
            if plain in _SCALARS:
                field.type = _SCALARS[plain]
            else:
                field.type = _FIELD.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(document)
    return pool


_pool: Final = _build()


def _of(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


KeyValue: Final = _of("KeyValue")
RangeRequest: Final = _of("RangeRequest")
RangeResponse: Final = _of("RangeResponse")
PutRequest: Final = _of("PutRequest")
DeleteRangeRequest: Final = _of("DeleteRangeRequest")
RequestOp: Final = _of("RequestOp")
Compare: Final = _of("Compare")
TxnRequest: Final = _of("TxnRequest")
TxnResponse: Final = _of("TxnResponse")
CompactionRequest: Final = _of("CompactionRequest")
CompactionResponse: Final = _of("CompactionResponse")
WatchCreateRequest: Final = _of("WatchCreateRequest")
WatchRequest: Final = _of("WatchRequest")
WatchResponse: Final = _of("WatchResponse")
StatusRequest: Final = _of("StatusRequest")
StatusResponse: Final = _of("StatusResponse")
AlarmRequest: Final = _of("AlarmRequest")
AlarmResponse: Final = _of("AlarmResponse")
DefragmentRequest: Final = _of("DefragmentRequest")
DefragmentResponse: Final = _of("DefragmentResponse")
MoveLeaderRequest: Final = _of("MoveLeaderRequest")
MoveLeaderResponse: Final = _of("MoveLeaderResponse")
MemberListRequest: Final = _of("MemberListRequest")
MemberListResponse: Final = _of("MemberListResponse")
AuthenticateRequest: Final = _of("AuthenticateRequest")
AuthenticateResponse: Final = _of("AuthenticateResponse")
