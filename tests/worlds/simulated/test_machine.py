"""Addresses, ports and disks of a machine."""

import pytest

from thesan.worlds.simulated.machine import EPHEMERAL_PORT_MIN, Machine


def test_addresses_differ():
    assert Machine(1, "a").address == "10.0.0.1"
    assert Machine(300, "b").address == "10.0.1.44"
    with pytest.raises(AssertionError):
        Machine(0, "c")


def test_ports_go_round_and_skip_listeners():
    machine = Machine(1, "a")
    first = machine.ephemeral_port()
    assert machine.ephemeral_port() == first + 1
    machine._port = 65534
    machine.listeners[65535] = None
    assert machine.ephemeral_port() == EPHEMERAL_PORT_MIN


def test_a_disk_is_mounted_once():
    machine = Machine(1, "a")
    platter = machine.mount("/d1")
    assert platter.label == "a:/d1"
    with pytest.raises(AssertionError):
        machine.mount("/d1")
