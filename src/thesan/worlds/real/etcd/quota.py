"""What a member's quota is: etcd 3.6 says it in its status, older ones only in their metrics."""

import asyncio
import ssl
from typing import Any

from thesan.core.model.etcd_limits import (
    ETCD_CALL_SECONDS_MAX,
    ETCD_METRICS_BYTES_MAX,
    ETCD_QUOTA_BYTES,
)
from thesan.worlds.real.etcd.client import Client
from thesan.worlds.real.etcd.endpoint import Endpoint
from thesan.worlds.real.etcd.spec import EtcdSpec


async def ask(client: Client, status: Any) -> int:
    """Quota in bytes; etcd's default where no member tells it."""
    if status.dbSizeQuota:
        return int(status.dbSizeQuota)
    for endpoint in client.usable():
        try:
            async with asyncio.timeout(ETCD_CALL_SECONDS_MAX):
                found = parse_metrics(await _metrics(endpoint, client.spec))
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            continue
        if found:
            return found
    return ETCD_QUOTA_BYTES


def parse_metrics(text: str) -> int:
    """The gauge etcd_server_quota_backend_bytes; 0 when it is not there. Raises ValueError."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "etcd_server_quota_backend_bytes":
            return max(0, int(float(value)))
    return 0


async def _metrics(endpoint: Endpoint, spec: EtcdSpec) -> str:
    """GET /metrics at the client address. HTTP/1.0: the answer ends with the connection."""
    host, _, port = endpoint.address.rpartition(":")
    context = None
    if spec.is_secure:
        context = ssl.create_default_context(cafile=spec.ca)
        if spec.cert:
            context.load_cert_chain(spec.cert, spec.key)
    reader, writer = await asyncio.open_connection(
        host.strip("[]"), int(port), ssl=context, limit=ETCD_METRICS_BYTES_MAX
    )
    try:
        writer.write(b"GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n" % endpoint.address.encode())
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        parts: list[bytes] = []
        size = 0
        while size < ETCD_METRICS_BYTES_MAX:
            part = await reader.read(1 << 16)
            if not part:
                break
            parts.append(part)
            size += len(part)
    finally:
        writer.close()
    return b"".join(parts).decode("utf-8", errors="replace")
