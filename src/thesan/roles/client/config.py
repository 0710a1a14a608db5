"""Settings of a client: who it is, how long it tries, how it moves data."""

from dataclasses import dataclass, field

from thesan.core.model.errors import ConfigError
from thesan.core.model.limits import (
    CLIENT_CHUNK_BYTES,
    CLIENT_CHUNKS_IN_FLIGHT,
    CLIENT_DIAL_SECONDS_MAX,
    CLIENT_IDLE_SECONDS,
    CLIENT_PATIENCE_SECONDS,
    CLIENT_SILENCE_SECONDS_MAX,
    READ_BYTES_MAX,
)
from thesan.io.transport.client import LoginSettings


@dataclass(frozen=True)
class ClientConfig:
    """Field + docstring = the reference page."""

    login: LoginSettings = field(default_factory=LoginSettings)
    """Name, process and ways to authenticate, for MGMs and FSTs alike."""
    patience_seconds: float = CLIENT_PATIENCE_SECONDS
    """Time in which one operation is tried again: while no MGM answers, while a file's FSTs are
    away, while an MGM says wait."""
    dial_seconds_max: float = CLIENT_DIAL_SECONDS_MAX
    """Connect and log in at one server; then the next one is tried."""
    silence_seconds_max: float = CLIENT_SILENCE_SECONDS_MAX
    """Silence of a server that owes an answer after which it is taken for dead."""
    idle_seconds: float = CLIENT_IDLE_SECONDS
    """Unused connections are closed after this time."""
    chunk_bytes: int = CLIENT_CHUNK_BYTES
    """One read or write request."""
    chunks_in_flight: int = CLIENT_CHUNKS_IN_FLIGHT
    """Requests of one transfer that are under way together."""
    any_mgm: bool = False
    """Names and files may be looked up at a standby, which lags behind the master by a little, but
    never behind what this client did or was told. Else only the master is asked."""
    page_checksums: bool = True
    """Transfer with a CRC-32C for every 4 KiB page (pgread, pgwrite) where the server can: finds
    what TCP's checksum does not, and costs about half the throughput of a core."""

    def __post_init__(self) -> None:
        faults = [
            f"{name}: must be greater than 0"
            for name in ("patience_seconds", "dial_seconds_max", "silence_seconds_max")
            if getattr(self, name) <= 0
        ]
        if not 4096 <= self.chunk_bytes <= READ_BYTES_MAX or self.chunk_bytes % 4096:
            faults.append(f"chunk_bytes: a multiple of 4096, at most {READ_BYTES_MAX}")
        if not 1 <= self.chunks_in_flight <= 64:
            faults.append("chunks_in_flight: 1 to 64")
        if faults:
            raise ConfigError("; ".join(faults))
