"""Mutual TLS with a real etcd: who is let in, and certificates that are renewed under way."""

import asyncio
import datetime
import ipaddress
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from thesan.core.model.errors import ConfigError, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Owner
from thesan.worlds.real.etcd import client as client_module
from thesan.worlds.real.etcd import messages, quota
from thesan.worlds.real.etcd.credentials import Credentials
from thesan.worlds.real.etcd.endpoint import STATUS
from thesan.worlds.real.etcd.engine import EtcdEngine
from thesan.worlds.real.etcd.spec import EtcdSpec, parse_spec

A = Owner("a", Epoch(1), "a:1094", 11)
NAMES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


class Authority:
    """A certificate authority of one test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key)
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        certificate = builder.add_extension(constraint, critical=True).sign(
            self._key, hashes.SHA256()
        )
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name, key):
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key for 127.0.0.1, in new files that replace those of that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            self._builder(subject, key)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(NAMES), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        texts = certificate.public_bytes(serialization.Encoding.PEM), pem
        for path, text in zip(paths, texts, strict=True):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(text)
            os.replace(fresh, path)
        return paths


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path, "ca")


@pytest.fixture
def tls_etcd(start_etcd, authority):
    certificate, key = authority.issue("server")
    cluster = start_etcd(
        1,
        scheme="https",
        more=[
            *("--cert-file", str(certificate), "--key-file", str(key)),
            *("--client-cert-auth", "--trusted-ca-file", str(authority.path)),
        ],
    )
    yield cluster
    cluster.close()


def spec_of(cluster, authority, certificate, key) -> EtcdSpec:
    return parse_spec(
        f"{','.join(cluster.clients)}/tls?ca={authority.path}&cert={certificate}&key={key}"
    )


def test_a_journal_over_mutual_tls(play, tls_etcd, authority):
    async def story():
        engine = await EtcdEngine.open(spec_of(tls_etcd, authority, *authority.issue("mgm")))
        try:
            assert await engine.take_over(None, A)
            await engine.append(A, Seq(1), b"x")
            assert await anext(engine.follow(Seq(1))) == (1, b"x")
            state = (await engine.client.call(STATUS, messages.StatusRequest())).response
            assert await quota.ask(engine.client, state) == 2 << 30
        finally:
            await engine.close()

    play(story)


def test_without_a_certificate_nobody_is_let_in(play, tls_etcd, authority, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    certificate, key = Authority(other, "other").issue("mgm")
    address = tls_etcd.clients[0]
    refused = [
        parse_spec(address),
        parse_spec(f"{address}?ca={authority.path}"),
        parse_spec(f"{address}?ca={authority.path}&cert={certificate}&key={key}"),
        parse_spec(f"{address}?ca={other}/other.pem"),
    ]

    async def story(spec):
        engine = await EtcdEngine.open(spec)
        try:
            with pytest.raises(Unavailable):
                await engine.owner()
        finally:
            await engine.close()

    for spec in refused:
        play(lambda spec=spec: story(spec))


def test_renewed_certificates_are_used_without_a_restart(
    play, tls_etcd, authority, tmp_path, monkeypatch
):
    """At first a certificate of a stranger, which stands for one that has expired."""
    monkeypatch.setattr(client_module, "ETCD_FILES_SECONDS", 0.05)
    other = tmp_path / "other"
    other.mkdir()
    certificate, key = Authority(other, "other").issue("mgm")
    spec = spec_of(tls_etcd, authority, certificate, key)

    async def story():
        engine = await EtcdEngine.open(spec)
        try:
            with pytest.raises(Unavailable):
                await engine.owner()
            for fresh, old in zip(authority.issue("renewed"), (certificate, key), strict=True):
                os.replace(fresh, old)
            while True:
                try:
                    assert await engine.take_over(None, A)
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
            # And once more while a follower waits: it misses nothing.
            follower = engine.follow(Seq(1))
            await engine.append(A, Seq(1), b"1")
            assert await anext(follower) == (1, b"1")
            before = engine.client.endpoints[0]._channel
            for fresh, old in zip(authority.issue("again"), (certificate, key), strict=True):
                os.replace(fresh, old)
            while engine.client.endpoints[0]._channel is before:
                await asyncio.sleep(0.05)
            for seq in (2, 3):
                await engine.append(A, Seq(seq), b"%d" % seq)
                assert await anext(follower) == (seq, b"%d" % seq)
            await follower.aclose()
        finally:
            await engine.close()

    play(story)


def test_files_that_do_not_fit_together_change_nothing(authority):
    certificate, key = authority.issue("mgm")
    spec = EtcdSpec(("a:1",), ca=str(authority.path), cert=str(certificate), key=str(key))
    credentials = Credentials(spec)
    channel = credentials.channel
    assert not credentials.has_changed()
    key.unlink()
    assert not credentials.has_changed()
    key.write_bytes(b"")
    assert not credentials.has_changed()
    assert credentials.channel is channel
    authority.issue("mgm")
    assert credentials.has_changed()
    assert credentials.channel is not channel
    assert not credentials.has_changed()


def test_passwords(tmp_path):
    path = tmp_path / "password"
    credentials = Credentials(EtcdSpec(("a:1",), user="u", password_file=str(path)))
    assert credentials.channel is None
    assert not credentials.has_changed()
    with pytest.raises(ConfigError):
        credentials.password()
    path.write_text(" secret \nmore\n")
    assert credentials.password() == "secret"
    path.write_bytes(b"x" * (2 << 20))
    with pytest.raises(ConfigError):
        credentials.password()
