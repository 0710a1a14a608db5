"""Names to addresses."""

import asyncio
import errno
import ipaddress

from thesan.core.model.errors import OperationError, Retry


async def addresses_of(host: str, port: int, deadline: float) -> list[str]:
    """Addresses of a name, in the resolver's order. Raises OperationError EHOSTUNREACH."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [host]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(deadline):
            found = await loop.getaddrinfo(host, port)
    except TimeoutError:
        text = f"the name {host} could not be resolved in time"
        raise OperationError(errno.EHOSTUNREACH, text, Retry.ELSEWHERE) from None
    except OSError as error:
        text = f"the name {host} can't be resolved: {error.strerror or error}"
        raise OperationError(errno.EHOSTUNREACH, text, Retry.ELSEWHERE) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
