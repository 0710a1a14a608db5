"""What a command gets from the global options, and how it reaches the instance."""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from thesan.core.model.errors import ConfigError

if TYPE_CHECKING:
    from thesan.core.control.messages import Admin, AdminReply
    from thesan.roles.client.filesystem import Filesystem

_T = TypeVar("_T")


class Output(enum.Enum):
    """The three renderings of the same records."""

    TABLE = "table"
    MONITOR = "monitor"
    JSON = "json"


@dataclass
class Context:
    """Global options of one invocation."""

    output: Output = Output.TABLE
    header: bool = True
    mgm_url: str = ""
    act_as: tuple[int, int] | None = None
    """`-r UID GID`."""
    any_mgm: bool = False
    """`--any`: a standby may answer what only reads."""

    def url(self) -> str:
        """Where the MGMs are. Raises ConfigError with what to do when nobody said it."""
        if not self.mgm_url:
            raise ConfigError(
                "no MGM given: set THESAN_MGM_URL=root://HOST:PORT or say --mgm URL "
                "(`thesan demo up` prints one)"
            )
        return self.mgm_url

    def with_filesystem(self, work: "Callable[[Filesystem], Awaitable[_T]]") -> _T:
        """Connect, run `work`, disconnect; say so when it waits for want of a master."""
        # Not above: help, version and usage errors must not pay for asyncio and the client.
        import asyncio

        from thesan.cli import waiting
        from thesan.cli.connect import connect
        from thesan.io.tasks import TaskOwner

        async def run() -> _T:
            async with connect(self.url(), act_as=self.act_as, any_mgm=self.any_mgm) as filesystem:
                tasks = TaskOwner("command")
                tasks.start("notice", waiting.tell(filesystem, self.url(), any_mgm=self.any_mgm))
                try:
                    return await work(filesystem)
                finally:
                    await tasks.close()

        return asyncio.run(run())

    def ask_whoever(self, message: "Admin") -> "AdminReply":
        """An admin read, answered by the MGM of the URL that does so first."""
        import asyncio

        from thesan.cli.probe import ask_whoever
        from thesan.roles.client.url import parse_url

        if self.act_as is not None:
            message.args["act_as"] = list(self.act_as)
        url = self.url()
        url = url if "://" in url else f"root://{url}"
        return asyncio.run(ask_whoever([str(one) for one in parse_url(url).endpoints], message))
