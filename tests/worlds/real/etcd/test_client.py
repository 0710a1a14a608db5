"""All members together: order, the next one, the last word of each about itself."""

import asyncio
import json
import socket
import urllib.request

import grpc
import pytest

from thesan.core.model.errors import ConfigError, JournalError, Unavailable
from thesan.worlds.real.etcd import messages, requests
from thesan.worlds.real.etcd.client import Client
from thesan.worlds.real.etcd.endpoint import RANGE, TXN, EtcdError, Failure
from thesan.worlds.real.etcd.spec import EtcdSpec, parse_spec

LOOK = messages.RangeRequest(key=b"k")


def started(*members, warn=None, **options):
    """A client of these members that was started when the block begins."""

    class Block:
        async def __aenter__(self):
            addresses = tuple(getattr(member, "address", member) for member in members)
            self.client = Client(EtcdSpec(addresses, **options), warn)
            try:
                await self.client.start()
            except BaseException:
                await self.client.close()
                raise
            return self.client

        async def __aexit__(self, *_):
            await self.client.close()

    return Block()


def test_writes_and_watches_carry_hasleader(play, fake):
    member = fake(1)

    async def story():
        async with started(member) as client:
            await client.call(RANGE, LOOK)
        assert member.calls[-1][1]["hasleader"] == "true"

    play(story)


def test_the_leader_is_asked_first_and_a_new_one_after_a_new_term(play, fake):
    members = [fake(1), fake(2), fake(3)]
    for member in members:
        member.leader = 2

    async def story():
        async with started(*members) as client:
            assert [one.member_id for one in client.usable()] == [2, 1, 3]
            await client.call(RANGE, LOOK)
            assert [member.methods().count("Range") for member in members] == [0, 1, 0]
            for member in members:
                member.leader, member.term = 3, 3
            await client.call(RANGE, LOOK)  # The answer tells of a new term.
            while client.usable()[0].member_id != 3:
                await asyncio.sleep(0.01)
            await client.call(RANGE, LOOK)
            assert members[2].methods().count("Range") == 1

    play(story)


def test_a_silent_member_costs_one_deadline_and_is_then_asked_last(play, fake):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        good = fake(2)

        async def story():
            async with started(f"127.0.0.1:{silent.getsockname()[1]}", good) as client:
                # It was silent at the start already.
                assert client.usable()[0].address == good.address
                assert client.endpoints[0].failed
                loop = asyncio.get_running_loop()
                before = loop.time()
                answer = await client.call(RANGE, LOOK)
                assert loop.time() - before < 0.4
                assert not answer.is_resend

        play(story)


def test_what_one_member_can_not_do_the_next_one_does(play, fake):
    first, second = fake(1), fake(2)
    first.leader = second.leader = 1
    first.failure = (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")

    async def story():
        async with started(first, second) as client:
            assert client.usable()[0].member_id == 1
            answer = await client.call(RANGE, LOOK)
            assert answer.is_resend
            assert answer.response.header.member_id == 2
            assert not (await client.call(RANGE, LOOK)).is_resend
            # When it is back, it leads again.
            first.failure = None
            while client.usable()[0].member_id != 1:
                await asyncio.sleep(0.05)

    play(story)


def test_a_call_ends_when_no_member_serves(play, fake):
    members = [fake(1), fake(2)]
    for member in members:
        member.failure = (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")

    async def story():
        async with started(*members) as client:
            loop = asyncio.get_running_loop()
            before = loop.time()
            with pytest.raises(EtcdError, match="no leader"):
                await client.call(RANGE, LOOK)
            assert 1 < loop.time() - before < 20
            # It went round and round: an election is ridden out.
            assert members[0].methods().count("Range") > 3

    play(story)


def test_a_call_that_meets_an_election_succeeds_when_it_is_over(play, fake):
    members = [fake(1), fake(2)]
    for member in members:
        member.failure = (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")

    async def story():
        async with started(*members) as client:
            call = asyncio.get_running_loop().create_task(client.call(RANGE, LOOK))
            while members[1].methods().count("Range") < 2:
                await asyncio.sleep(0.001)
            members[1].failure = None
            assert (await call).response.header.member_id == 2

    play(story)


@pytest.mark.parametrize("kind", [Failure.FULL, Failure.REFUSED])
def test_a_final_no_is_not_asked_elsewhere(play, fake, kind):
    first, second = fake(1), fake(2)
    first.leader = second.leader = 1
    first.failure = {
        Failure.FULL: (grpc.StatusCode.RESOURCE_EXHAUSTED, "mvcc: database space exceeded"),
        Failure.REFUSED: (grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied"),
    }[kind]

    async def story():
        async with started(first, second) as client:
            with pytest.raises(EtcdError) as caught:
                await client.call(RANGE, LOOK)
            assert caught.value.kind is kind
        assert "Range" not in second.methods()

    play(story)


def test_a_dangerous_version_is_refused_at_the_start(play, fake):
    good, bad = fake(1), fake(2, version="3.5.1")

    async def story():
        with pytest.raises(JournalError, match=r"3\.5\.1"):
            async with started(good, bad):
                pass

    play(story)


def test_a_dangerous_version_that_comes_later_is_not_used(play, fake):
    first, second = fake(1), fake(2)
    first.leader = second.leader = 1

    async def story():
        async with started(first, second) as client:
            first.version = "3.5.1"
            client.demote(client.endpoints[0])  # As after a restart.
            client.demote(client.endpoints[1])
            with pytest.raises(EtcdError, match=r"3\.5\.1"):
                await client.call(RANGE, LOOK)
            assert (await client.call(RANGE, LOOK)).response.header.member_id == 2
            assert [one.member_id for one in client.usable()] == [2]

    play(story)


def test_an_old_version_is_warned_of(play, fake):
    warnings = []

    async def story():
        async with started(fake(1, version="3.4.20"), warn=warnings.append) as client:
            await client.call(RANGE, LOOK)

    play(story)
    assert len(warnings) == 1
    assert "3.4.20" in warnings[0]


def test_a_member_of_another_cluster_is_not_used(play, fake):
    async def story():
        with pytest.raises(JournalError, match="another etcd cluster"):
            async with started(fake(1), fake(2, cluster_id=8)):
                pass

    play(story)


def with_password(fake, tmp_path):
    """A member that wants a token, and the file with the password for it."""
    member, password = fake(1), tmp_path / "password"
    member.token = "first"
    password.write_text("secret\n")
    return member, password


def test_a_token_is_fetched_and_fetched_again_when_it_is_refused(play, fake, tmp_path):
    member, password = with_password(fake, tmp_path)

    async def story():
        async with started(member, user="u", password_file=str(password)) as client:
            await client.call(RANGE, LOOK)
            member.token = "second"
            await asyncio.gather(*(client.call(RANGE, LOOK) for _ in range(8)))
            assert member.calls[-1][1]["token"] == "second"
            # A password that changed is read anew.
            member.token = "third"
            password.write_text("false")
            with pytest.raises(EtcdError) as caught:
                await client.call(RANGE, LOOK)
            assert caught.value.kind is Failure.TOKEN
            password.write_text("secret")
            await client.call(RANGE, LOOK)

    play(story)


def test_a_password_file_that_is_away_for_a_moment(play, fake, tmp_path):
    """As when a tool writes it anew: a call waits for it, and fails as one that nobody answers."""
    member, password = with_password(fake, tmp_path)

    async def story():
        async with started(member, user="u", password_file=str(password)) as client:
            await client.call(RANGE, LOOK)
            member.token = "second"
            password.unlink()
            calling = asyncio.get_running_loop().create_task(client.call(RANGE, LOOK))
            await asyncio.sleep(0.2)
            assert not calling.done()
            password.write_text("secret\n")
            await calling

    play(story)


def test_a_user_that_is_wanted_and_not_given(play, fake):
    member = fake(1)
    member.token = "wanted"

    async def story():
        async with started(member) as client:
            with pytest.raises(EtcdError, match="add user="):
                await client.call(RANGE, LOOK)

    play(story)


def test_nobody_has_to_be_there_at_the_start(play):
    async def story():
        async with started("127.0.0.1:1", "127.0.0.1:2") as client:
            with pytest.raises(Unavailable):
                await client.call(RANGE, LOOK)

    play(story)


def test_a_missing_certificate_is_told_at_once(tmp_path):
    with pytest.raises(ConfigError, match="missing"):
        Client(EtcdSpec(("a:1",), ca=str(tmp_path / "missing")))


def _gateway(address: str, path: str, body: dict[str, object], token: str = "") -> dict[str, str]:
    """etcd's JSON interface, for what thesan itself never asks."""
    request = urllib.request.Request(
        f"http://{address}/v3/{path}",
        json.dumps(body).encode(),
        {"Authorization": token} if token else {},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, str] = json.load(answer)
    return found


def test_a_real_login_survives_the_members_forgetting_it(play, hurt_etcd, tmp_path):
    """RBAC bound to the prefix; etcd keeps tokens in memory, so a restart forgets them."""
    address = hurt_etcd.clients[0]
    key, end = "L2luc3Q=", "L2luc3Qw"  # /inst to /inst0 in base64
    for user, secret in (("root", "r"), ("thesan", "t")):
        _gateway(address, "auth/user/add", {"name": user, "password": secret})
        _gateway(address, "auth/role/add", {"name": user})
        _gateway(address, "auth/user/grant", {"user": user, "role": user})
    permission = {"permType": "READWRITE", "key": key, "range_end": end}
    _gateway(address, "auth/role/grant", {"name": "thesan", "perm": permission})
    _gateway(address, "auth/enable", {})
    (tmp_path / "password").write_text("t")
    spec = parse_spec(
        f"{','.join(hurt_etcd.clients)}?user=thesan&password_file={tmp_path}/password"
    )

    async def story():
        client = Client(spec)
        try:
            await client.start()
            put = requests.txn([], [requests.put(b"/inst/a", b"1")])
            await client.call(TXN, put)
            for index in range(3):
                hurt_etcd.kill(index)
            for index in range(3):
                hurt_etcd.start(index)
            hurt_etcd.wait_ready()
            await client.call(TXN, put)
            with pytest.raises(EtcdError, match="permission denied"):
                await client.call(TXN, requests.txn([], [requests.put(b"/other", b"1")]))
        finally:
            await client.close()

    play(story)
