"""Names and figures of a simulated machine."""

from thesan.worlds.simulated.host import SimHost
from thesan.worlds.simulated.machine import Machine


def test_names():
    host = SimHost(Machine(1, "fst1"))
    assert host.name() == "fst1"
    assert host.account("alice") == (1001, 1001, (1001, 2000))
    assert host.account("nobody-knows") is None
    assert host.user_name(0) == "root"
    assert host.user_name(4711) == host.group_name(4711) == "4711"


def test_load():
    host = SimHost(Machine(1, "fst1"))
    assert host.load().kernel == "simulated"
    assert host.disk_load("/d1") == (0.0, 0.0, 0.0)
