"""
Throttling of failed logins, against password guessing.

The delay grows with failures and ends with success, unlike the windows of the package
`limits`, which would bring four more dependencies.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

from llamakeep.errors import TooManyAttempts

WINDOW = 15 * 60
ACCOUNT_FAILURES = 5
ADDRESS_FAILURES = 20
LONGEST_DELAY = 60

# Failures expire one by one. Counting more than it takes to reach the longest delay
# makes many parallel guesses cost the attacker hours, not minutes.
_REMEMBERED = 100
_LONGEST_NAME = 256


class Throttle(Protocol):
    """Counts failed logins, in this process or its parent; see `LoginThrottle`."""

    async def check(self, username: str, address: str | None) -> None:
        """
        Permit a login attempt, to be followed by `failed` or `succeeded`.

        Raises:
            TooManyAttempts: The client has to wait; the password must not be checked.
        """
        ...

    async def failed(self, username: str, address: str | None) -> None:
        """Count a failed attempt, whether or not the user exists."""
        ...

    async def succeeded(self, username: str, address: str | None) -> None:
        """Clear the account's failures, but not those of the address."""
        ...


class LoginThrottle:
    """
    Delays logins after failures, by account and by address, in bounded memory.

    After 5 failures for one account, or 20 from one address, within 15 minutes, one
    attempt at a time may be made, after 1, 2, 4, … and at most 60 seconds. Unknown
    accounts are treated the same. IPv6 addresses count by their /64 network, which
    usually has one owner.

    Users are not locked out: at an address where a user has logged in before, failures
    from other addresses do not count. So an attacker delays only users at new addresses
    (who compete with the attacker for one attempt a minute) and those at the attacker's
    own. Access tokens are not affected.

    The counts are those of one process, and are lost at a restart. Beyond `max_keys`
    accounts, or addresses, those whose last failure was longest ago are dropped first.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, max_keys: int = 10_000
    ) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._accounts = _Failures(ACCOUNT_FAILURES, max_keys)
        self._addresses = _Failures(ADDRESS_FAILURES, max_keys)
        self._places: OrderedDict[tuple[str, str], None] = OrderedDict()
        """The pairs of account and address at which a login has succeeded."""

    async def check(self, username: str, address: str | None) -> None:
        """Permit an attempt; see `Throttle.check`."""
        now = self._clock()
        account, place = self._keys(username, address)
        wait = max(self._accounts.wait(account, now), self._addresses.wait(place, now))
        if wait > 0:
            raise TooManyAttempts(
                "Too many logins failed for this account or from this address. "
                f"Wait {math.ceil(wait)} s and try again.",
                retry_after=wait,
            )
        # Until its outcome is known, it is the one attempt that may be made.
        self._accounts.delay(account, now)
        self._addresses.delay(place, now)

    async def failed(self, username: str, address: str | None) -> None:
        """Count a failed attempt."""
        now = self._clock()
        account, place = self._keys(username, address)
        self._accounts.add(account, now)
        if place:
            self._addresses.add(place, now)

    async def succeeded(self, username: str, address: str | None) -> None:
        """Clear the account's failures."""
        account, place = self._keys(username, address)
        self._accounts.clear(account)
        # An attacker may have an account too, so the address's failures stay.
        self._addresses.stop_delay(place, self._clock())
        if place:
            self._places[account[0], place] = None
            self._places.move_to_end((account[0], place))
            if len(self._places) > self._max_keys:
                self._places.popitem(last=False)

    def _keys(self, username: str, address: str | None) -> tuple[tuple[str, str], str]:
        name = username[:_LONGEST_NAME].casefold()
        place = network_of(address)
        return (name, place if (name, place) in self._places else ""), place


@dataclass(slots=True)
class _Count:
    failures: float
    counted_at: float
    ready_at: float


class _Failures:
    """Failures by key, which expire at a constant rate."""

    def __init__(self, limit: int, max_keys: int) -> None:
        self._limit = limit
        self._max_keys = max_keys
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()

    def wait(self, key: Hashable, now: float) -> float:
        count = self._counts.get(key)
        return 0 if count is None else max(0, count.ready_at - now)

    def delay(self, key: Hashable, now: float) -> None:
        if (count := self._counts.get(key)) is not None:
            self._count(count, 0, now)

    def stop_delay(self, key: Hashable, now: float) -> None:
        if (count := self._counts.get(key)) is not None:
            count.ready_at = now

    def add(self, key: Hashable, now: float) -> None:
        count = self._counts.setdefault(key, _Count(0, now, now))
        self._counts.move_to_end(key)
        self._count(count, 1, now)
        if len(self._counts) > self._max_keys:
            self._counts.popitem(last=False)

    def _count(self, count: _Count, more: int, now: float) -> None:
        forgotten = (now - count.counted_at) * self._limit / WINDOW
        failures = max(0, count.failures - forgotten) + more
        count.failures = min(failures, _REMEMBERED)
        count.counted_at = now
        over = math.ceil(count.failures) - self._limit
        count.ready_at = now + min(2**over, LONGEST_DELAY) if over >= 0 else now

    def clear(self, key: Hashable) -> None:
        self._counts.pop(key, None)


def network_of(address: str | None) -> str:
    """Return an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return (address or "")[:_LONGEST_NAME]
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip.packed[:8].hex())
