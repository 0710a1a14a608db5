"""`host:port`, as daemons name themselves and each other."""


def is_address(text: str) -> bool:
    """True for `host:port` (`[v6]:port` too)."""
    host, colon, port = text.rpartition(":")
    return bool(host and colon) and port.isascii() and port.isdigit() and 0 < int(port) <= 65535


def split_address(address: str) -> tuple[str, int]:
    """(host, port) of what `is_address` accepts; the brackets of a v6 address are cut off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    """`host:port`, a v6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
