"""Journal engines by name: `sqlite:PATH`, or `etcd:HOST:PORT,...[/PREFIX][?OPTIONS]`.

etcd's client and its libraries are imported only where an etcd is named: they take a quarter of a
second that an instance with a file does not have to pay.
"""

from collections.abc import Callable

from thesan.core.model.errors import ConfigError
from thesan.ports.engine import Engine


async def open_engine(
    spec: str, warn: Callable[[str], None] | None = None, *, is_alone: bool = False
) -> Engine:
    """The engine that `spec` names; it belongs to the running event loop.

    `warn(text)` is told what an operator should know, such as an old version. `is_alone`: the loop
    has nothing to do but to wait for this engine, and may be blocked by it. Raises ConfigError
    for a spec that says nothing, JournalError for an engine that must not be used, Unavailable for
    a file that is locked. An etcd that is not there yet is no error: calls raise Unavailable.
    """
    kind, _, rest = spec.partition(":")
    if kind == "sqlite" and rest:
        from thesan.worlds.real.sqlite_engine import SqliteEngine

        return await SqliteEngine.open(rest)
    if kind == "etcd" and rest:
        from thesan.worlds.real.etcd.engine import EtcdEngine
        from thesan.worlds.real.etcd.spec import parse_spec

        return await EtcdEngine.open(parse_spec(rest), warn, is_alone=is_alone)
    raise ConfigError(f"journal {spec[:200]!r} is neither sqlite:PATH nor etcd:HOST:PORT,...")
