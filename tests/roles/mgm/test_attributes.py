"""kXR_fattr: names, values, codes and permissions."""

import errno

from thesan.core.model.errors import Xrd
from thesan.core.wire.fattr import parse_fattr, parse_fattr_list
from thesan.core.wire.numbers import FAttrCode, FAttrOption
from thesan.core.wire.requests import Chmod, FAttr
from thesan.roles.mgm.attributes import wire_name, xattr_name

SID = b"\0\1"
GET, SET, DELETE, LIST = (
    int(FAttrCode.GET),
    int(FAttrCode.SET),
    int(FAttrCode.DELETE),
    int(FAttrCode.LIST),
)


def test_names() -> None:
    assert xattr_name("color") == "user.color"
    assert xattr_name("user.color") == "user.color"
    assert xattr_name("sys.acl") == "sys.acl"
    assert wire_name("user.color") == "color"
    assert wire_name("sys.acl") == "sys.acl"


def test_set_get_list_delete(cluster) -> None:
    cluster.store_file("/f")
    body = cluster.ok(FAttr(SID, SET, "/f", names=["color", "shape"], values=[b"blue", b"a\0b"]))
    assert [(one.name, one.code) for one in parse_fattr(body)] == [("color", 0), ("shape", 0)]
    body = cluster.ok(FAttr(SID, GET, "/f", names=["shape", "none", "color"]))
    assert [(one.name, one.code, one.value) for one in parse_fattr(body, values=True)] == [
        ("shape", 0, b"a\0b"),
        ("none", Xrd.ATTR_NOT_FOUND, b""),
        ("color", 0, b"blue"),
    ]
    body = cluster.ok(FAttr(SID, LIST, "/f"))
    assert parse_fattr_list(body) == [("color", b""), ("shape", b"")]
    body = cluster.ok(FAttr(SID, LIST, "/f", options=int(FAttrOption.WITH_DATA)))
    assert parse_fattr_list(body, values=True) == [("color", b"blue"), ("shape", b"a\0b")]
    cluster.ok(FAttr(SID, DELETE, "/f", names=["color"]))
    assert parse_fattr_list(cluster.ok(FAttr(SID, LIST, "/f"))) == [("shape", b"")]


def test_new_means_new(cluster) -> None:
    cluster.store_file("/f")
    is_new = int(FAttrOption.IS_NEW)
    cluster.ok(FAttr(SID, SET, "/f", options=is_new, names=["a"], values=[b"1"]))
    request = FAttr(SID, SET, "/f", options=is_new, names=["a"], values=[b"2"])
    assert cluster.errno(request) == errno.EEXIST
    cluster.ok(FAttr(SID, SET, "/f", names=["a"], values=[b"3"]))


def test_each_attribute_of_several_has_its_own_code(cluster) -> None:
    cluster.store_file("/f")
    body = cluster.ok(FAttr(SID, DELETE, "/f", names=["a", "b"]))
    assert [one.code for one in parse_fattr(body)] == [Xrd.ATTR_NOT_FOUND] * 2
    assert cluster.errno(FAttr(SID, DELETE, "/f", names=["a"])) == errno.ENODATA


def test_permissions(cluster, alice) -> None:
    cluster.store_file("/f")
    assert cluster.errno(FAttr(SID, SET, "/f", names=["a"], values=[b"1"]), alice) == errno.EACCES
    sys_acl = FAttr(SID, SET, "/", names=["sys.acl"], values=[b"u:1001:rwx"])
    assert cluster.errno(sys_acl, alice) == errno.EACCES
    cluster.ok(sys_acl)
    cluster.ok(Chmod(SID, "/f", mode=0o600))
    assert cluster.errno(FAttr(SID, GET, "/none", names=["a"])) == errno.ENOENT
    assert cluster.errno(FAttr(SID, LIST, "", fh=3)) == errno.EBADF
