"""Names of accounts, asked of the host once in a while: a lookup may go to LDAP."""

from collections.abc import Callable
from typing import Generic, TypeVar

from thesan.core.authority.vid import Account
from thesan.core.model.limits import ACCOUNT_SECONDS_MAX, NAMES_CACHED_MAX
from thesan.ports.host import Host

_K = TypeVar("_K")
_V = TypeVar("_V")


class _Cache(Generic[_K, _V]):
    """At most NAMES_CACHED_MAX answers, each for at most ACCOUNT_SECONDS_MAX."""

    def __init__(self, ask: Callable[[_K], _V]) -> None:
        self._ask = ask
        self._known: dict[_K, tuple[float, _V]] = {}

    def get(self, key: _K, now_s: float) -> _V:
        found = self._known.get(key)
        if found is not None and now_s < found[0]:
            return found[1]
        if len(self._known) >= NAMES_CACHED_MAX:
            self._known.clear()
        value = self._ask(key)
        self._known[key] = (now_s + ACCOUNT_SECONDS_MAX, value)
        return value


class Names:
    """User and group names for stat texts, accounts for the identity mapping.

    `now_s` is monotonic. A change of the host's accounts is seen after ACCOUNT_SECONDS_MAX.
    """

    def __init__(self, host: Host) -> None:
        self._users: _Cache[int, str] = _Cache(host.user_name)
        self._groups: _Cache[int, str] = _Cache(host.group_name)
        self._accounts: _Cache[str, Account | None] = _Cache(host.account)

    def user(self, uid: int, now_s: float) -> str:
        """Name of a uid; its number when it has none, or one that a stat text can't hold."""
        return _word(self._users.get(uid, now_s), uid)

    def group(self, gid: int, now_s: float) -> str:
        """Name of a gid, likewise."""
        return _word(self._groups.get(gid, now_s), gid)

    def account(self, name: str, now_s: float) -> Account | None:
        """(uid, gid, all gids) of a user name, None when the host does not know it."""
        return self._accounts.get(name, now_s)


def _word(name: str, number: int) -> str:
    """A stat text is split at blanks: a name with one would shift its fields."""
    return name if name and name.isprintable() and " " not in name else str(number)
