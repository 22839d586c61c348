"""
Slowing down whoever guesses passwords.

The package `limits` counts requests in windows and would bring four more packages; what
is wanted here is a delay that grows with failures and that success takes away.
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

# Failures are forgotten one by one. Remembering more of them than it takes to reach the
# longest delay makes a volley of parallel guesses cost the guesser hours, not minutes.
_REMEMBERED = 100
_LONGEST_NAME = 256


class LoginThrottle:
    """
    Makes failed logins wait, by account and by address, in bounded memory.

    After 5 failures for one account, or 20 from one address, within 15 minutes, one
    attempt at a time is let through, after 1, 2, 4, … and at most 60 seconds. Accounts
    that do not exist are treated the same. IPv6 addresses count by their /64 network,
    because its owner has all of it.

    Nobody is locked out: where a user has logged in before, failures that come from
    elsewhere do not count, so a stranger who keeps guessing slows down only strangers,
    and whoever shares the stranger's address. A user who is new at an address competes
    with the guesser for one attempt a minute while the guessing goes on. Access tokens
    in use are not touched by any of this.

    The counts belong to one process and are gone after a restart.

    Args:
        clock: Seconds from any start, never going back.
        max_keys: How many accounts, and how many addresses, are remembered; those whose
            last failure was longest ago are forgotten first.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, max_keys: int = 10_000
    ) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._accounts = _Failures(ACCOUNT_FAILURES, max_keys)
        self._addresses = _Failures(ADDRESS_FAILURES, max_keys)
        self._places: OrderedDict[tuple[str, str], None] = OrderedDict()
        """The accounts and addresses where a login succeeded."""

    def check(self, username: str, address: str | None) -> None:
        """
        Let an attempt pass, to be followed by `failed` or `succeeded`.

        Args:
            username: As it was typed.
            address: The client's, or `None` if there is no telling.

        Raises:
            TooManyAttempts: It has to wait, and must not be carried out.
        """
        now = self._clock()
        account, place = self._keys(username, address)
        wait = max(self._accounts.wait(account, now), self._addresses.wait(place, now))
        if wait > 0:
            raise TooManyAttempts(
                "Too many logins failed for this account or from this address. "
                f"Wait {math.ceil(wait)} s and try again.",
                retry_after=wait,
            )
        # Until its outcome is known, an attempt counts as the one that may be made.
        self._accounts.delay(account, now)
        self._addresses.delay(place, now)

    def failed(self, username: str, address: str | None) -> None:
        """Remember that an attempt failed, whether or not there is such a user."""
        now = self._clock()
        account, place = self._keys(username, address)
        self._accounts.add(account, now)
        if place:
            self._addresses.add(place, now)

    def succeeded(self, username: str, address: str | None) -> None:
        """Forget the account's failures, as far as they are this user's."""
        account, place = self._keys(username, address)
        self._accounts.clear(account)
        # The failures stay: a guesser may have an account of their own.
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


class Throttle(Protocol):
    """Where failed logins are counted; see `LoginThrottle`."""

    async def check(self, username: str, address: str | None) -> None:
        """Let an attempt pass, to be followed by `failed` or `succeeded`."""
        ...

    async def failed(self, username: str, address: str | None) -> None:
        """Remember that an attempt failed."""
        ...

    async def succeeded(self, username: str, address: str | None) -> None:
        """Forget the account's failures."""
        ...


class OwnThrottle:
    """Counts failed logins in this process."""

    def __init__(self) -> None:
        self._throttle = LoginThrottle()

    async def check(self, username: str, address: str | None) -> None:
        """
        Let an attempt pass, to be followed by `failed` or `succeeded`.

        Raises:
            TooManyAttempts: It has to wait, and must not be carried out.
        """
        self._throttle.check(username, address)

    async def failed(self, username: str, address: str | None) -> None:
        """Remember that an attempt failed."""
        self._throttle.failed(username, address)

    async def succeeded(self, username: str, address: str | None) -> None:
        """Forget the account's failures, as far as they are this user's."""
        self._throttle.succeeded(username, address)


@dataclass(slots=True)
class _Count:
    failures: float
    counted_at: float
    ready_at: float


class _Failures:
    """Failures by key; each is forgotten after its share of the window."""

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
    """Return what an address counts as: itself, or the /64 network that it is in."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return (address or "")[:_LONGEST_NAME]
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip.packed[:8].hex())
