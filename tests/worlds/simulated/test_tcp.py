"""The kernel's half: windows, unread bytes, what a close and a power cut leave behind."""

from thesan.worlds.simulated.tcp import TCP_GIVE_UP_SECONDS


def _ends(pair):
    client = next(iter(pair.network.machine("c").sockets))
    return client, client.peer


def test_the_window_bounds_what_is_under_way(pair):
    client, server = _ends(pair)
    pair.server.transport.pause_reading()
    window = pair.network.window_bytes
    assert client.send(bytes(window + 5)) == window
    assert client.send(b"x") == 0
    pair.run(1)
    assert client.in_flight_bytes == window
    assert len(server.read(1000)) == 1000
    assert client.in_flight_bytes == window - 1000
    assert client.send(bytes(2000)) == 1000


def test_read_cuts_and_joins(pair):
    client, server = _ends(pair)
    pair.server.transport.pause_reading()
    for part in (b"abc", b"defg", b"hi"):
        client.send(part)
    pair.run(1)
    assert server.read(5) == b"abcde"
    assert server.read(100) == b"fghi"
    assert server.read(100) == b""


def test_bytes_accepted_before_a_kill_still_arrive(pair):
    pair.client.transport.write(b"last words")
    pair.network.kill(pair.client_process)
    pair.run(1)
    assert pair.server.data == b"last words"
    assert pair.server.told == ["made", "eof"]
    pair.server.transport.write(b"anybody there?")
    pair.run(1)
    assert pair.server.told[-1] == "lost ConnectionResetError"
    assert pair.client.told == ["made"]


def test_unread_bytes_turn_a_kill_into_a_reset(pair):
    pair.network.pause(pair.server_process)
    pair.client.transport.write(b"unread")
    pair.run(1)
    pair.network.kill(pair.server_process)
    pair.run(1)
    assert pair.client.told == ["made", "lost ConnectionResetError"]


def test_a_power_cut_is_silent_until_tcp_gives_up(pair):
    pair.network.power_off("s")
    pair.run(60)
    assert pair.client.told == ["made"]
    pair.client.transport.write(b"anybody there?")
    pair.run(TCP_GIVE_UP_SECONDS - 1)
    assert pair.client.told == ["made"]
    pair.run(2)
    assert pair.client.told == ["made", "lost TimeoutError"]


def test_a_machine_that_is_back_resets_old_connections(pair):
    pair.network.power_off("s")
    pair.client.transport.write(b"into the void")
    pair.run(5)
    pair.network.power_on("s")
    pair.run(5)
    assert pair.client.told == ["made", "lost ConnectionResetError"]


def test_an_idle_connection_learns_at_its_next_write(pair):
    pair.network.power_off("s")
    pair.run(5)
    pair.network.power_on("s")
    pair.run(60)
    assert pair.client.told == ["made"]
    pair.client.transport.write(b"anybody there?")
    pair.run(1)
    assert pair.client.told == ["made", "lost ConnectionResetError"]


def test_both_close_at_once_without_reset(pair):
    pair.client.transport.close()
    pair.server.transport.close()
    pair.run(1)
    assert pair.client.told == ["made", "lost"]
    assert pair.server.told == ["made", "lost"]
    assert not pair.network.machine("c").sockets
    assert not pair.network.machine("s").sockets
