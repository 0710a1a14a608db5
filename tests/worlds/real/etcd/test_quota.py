"""A member's quota."""

import pytest

from thesan.core.model.etcd_limits import ETCD_QUOTA_BYTES
from thesan.worlds.real.etcd import messages, quota
from thesan.worlds.real.etcd.client import Client
from thesan.worlds.real.etcd.endpoint import STATUS
from thesan.worlds.real.etcd.spec import EtcdSpec


def test_metrics():
    text = "# TYPE etcd_server_quota_backend_bytes gauge\netcd_server_quota_backend_bytes 3.3e+07\n"
    assert quota.parse_metrics(text) == 33_000_000
    assert quota.parse_metrics("") == 0
    with pytest.raises(ValueError):
        quota.parse_metrics("etcd_server_quota_backend_bytes many")


def test_a_real_member_tells_it(play, start_etcd):
    cluster = start_etcd(1, more=["--quota-backend-bytes", str(40 << 20)])

    async def story():
        client = Client(EtcdSpec(tuple(cluster.clients)))
        try:
            await client.start()
            state = (await client.call(STATUS, messages.StatusRequest())).response
            assert await quota.ask(client, state) == 40 << 20
        finally:
            await client.close()

    play(story)
    cluster.close()


def test_a_member_of_3_6_says_it_in_its_status_and_a_mute_one_has_the_default(play, fake):
    async def story():
        client = Client(EtcdSpec((fake(1).address,)))
        try:
            await client.start()
            assert await quota.ask(client, messages.StatusResponse(dbSizeQuota=5)) == 5
            assert await quota.ask(client, messages.StatusResponse()) == ETCD_QUOTA_BYTES
        finally:
            await client.close()

    play(story)
