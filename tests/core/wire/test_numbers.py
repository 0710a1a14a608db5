"""The numbers that everything hangs on, once more by hand from the reference."""

from thesan.core.wire import numbers as n


def test_handshake_is_what_clients_send() -> None:
    assert n.HANDSHAKE.hex() == "000000000000000000000000" + "00000004" + "000007dc"
    assert len(n.HANDSHAKE) == 20


def test_flags_of_manager_and_server() -> None:
    assert n.MGM_FLAGS == 0x2, "with isServer the client would put the MGM itself in tried="
    assert n.FST_FLAGS == 0x300001, "as native 5.5.3 data servers"
    assert n.PROTOCOL_VERSION == 0x511


def test_request_numbers_are_contiguous() -> None:
    assert [int(r) for r in n.RequestId] == list(range(3000, 3033))
    assert n.RequestId.OPEN == 3010
    assert n.RequestId.PGREAD == 3030


def test_statuses() -> None:
    assert [int(s) for s in n.Status] == [0, *range(4000, 4008)]


def test_open_flags_seen_from_clients() -> None:
    f = n.OpenFlag
    assert f.RETSTAT | f.ASYNC | f.UPDATE | f.NEW == 0x468, "xrdcp put"
    assert f.RETSTAT | f.ASYNC | f.UPDATE | f.DELETE == 0x462, "xrdcp -f put"
    assert f.RETSTAT | f.ASYNC | f.READ == 0x450, "xrdcp get"
    assert f.RETSTAT | f.MKPATH | f.ASYNC | f.UPDATE | f.DELETE == 0x562, "xrdcp -r put"
    assert f.POSC | 0x462 == 0x1462, "xrdcp --posc"
