"""Rate limits that several servers share, in Valkey (or Redis)."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llamakeep.errors import CountsUnavailable
from llamakeep.limits.rates import (
    STEPS,
    Counts,
    Limit,
    OwnCounts,
    Standing,
    Verdict,
)

if TYPE_CHECKING:
    from valkey.asyncio import Valkey

MAX_CONNECTIONS = 16
TIMEOUT = 1.0
"""Seconds to wait for a connection, and then for a reply."""
LONGEST = 2 * TIMEOUT
"""Seconds that counting a request takes at most."""
PAUSE = 1.0
"""Seconds before the next try after Valkey failed."""

# One script for all limits of a request counts it for all of them or for none, in one
# round trip, and by Valkey's clock, since the servers' clocks may differ.
SCRIPT = """
local moment = redis.call('TIME')
local now = tonumber(moment[1]) + tonumber(moment[2]) / 1000000
local steps = tonumber(ARGV[1])
local seconds, totals, oldest = {}, {}, {}
local passes = 1
for i, key in ipairs(KEYS) do
    local amount = tonumber(ARGV[2 * i])
    seconds[i] = tonumber(ARGV[2 * i + 1])
    totals[i] = 0
    local parts = redis.call('HGETALL', key)
    for p = 1, #parts, 2 do
        local part = tonumber(parts[p])
        if (part + 1) * seconds[i] / steps + seconds[i] <= now then
            redis.call('HDEL', key, parts[p])
        else
            totals[i] = totals[i] + tonumber(parts[p + 1])
            if not oldest[i] or part < oldest[i] then oldest[i] = part end
        end
    end
    if totals[i] >= amount then passes = 0 end
end
local answer = {passes}
for i, key in ipairs(KEYS) do
    local step = seconds[i] / steps
    if passes == 1 then
        local part = math.floor(now / step)
        redis.call('HINCRBY', key, string.format('%.0f', part), 1)
        redis.call('PEXPIRE', key, math.ceil((seconds[i] + step) * 1000))
        totals[i] = totals[i] + 1
        oldest[i] = oldest[i] or part
    end
    local more_in = 0
    if oldest[i] then more_in = (oldest[i] + 1) * step + seconds[i] - now end
    answer[2 * i] = totals[i]
    answer[2 * i + 1] = math.ceil(more_in * 1000)
end
return answer
"""

log = logging.getLogger(__name__)


class ValkeyUnreachable(Exception):
    """Valkey cannot be reached, or returned an error."""


class ValkeyCounts:
    """
    Counts in Valkey at `valkey://HOST:PORT`.

    Raises:
        CountsUnavailable: The client for Valkey is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            from valkey import asyncio as valkey  # noqa: PLC0415 - an extra
            from valkey.exceptions import ValkeyError  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            raise CountsUnavailable(
                "LLAMAKEEP_VALKEY_URL is set, but the client for Valkey is not "
                "installed: `pip install 'llamakeep[valkey]'`."
            ) from error
        self._client: Valkey = valkey.Valkey.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )
        # Valkey's own blocking pool is not first in, first out: with 64 simultaneous
        # requests and 16 connections, some waited longer than a second (measured).
        self._line = asyncio.Semaphore(MAX_CONNECTIONS)
        self._script = self._client.register_script(SCRIPT)
        self._trouble = (ValkeyError, OSError, TimeoutError)

    async def hit(self, limits: Sequence[Limit]) -> Verdict:
        """
        Count a request unless one of the limits is reached.

        Raises:
            ValkeyUnreachable: The request may or may not have been counted.
        """
        keys = [_key(limit) for limit in limits]
        numbers = [number for limit in limits for number in limit.rate]
        try:
            async with asyncio.timeout(LONGEST), self._line:
                passes, *answer = await self._script(keys=keys, args=[STEPS, *numbers])
        except self._trouble as error:
            raise ValkeyUnreachable(str(error) or type(error).__name__) from error
        standings = tuple(
            Standing(limit, max(0, limit.rate.amount - total), more_in / 1000)
            for limit, total, more_in in zip(
                limits, answer[::2], answer[1::2], strict=True
            )
        )
        return Verdict(bool(passes), standings)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


class SharedCounts:
    """
    Counts in Valkey, and in this process while Valkey cannot be reached.

    Logins are refused meanwhile, if they have a limit: an attacker who cuts the
    connection would otherwise get that limit on each server.
    """

    def __init__(self, shared: Counts, own: OwnCounts | None = None) -> None:
        self._shared = shared
        self._own = own or OwnCounts()
        self._is_lost = False
        self._ask_at = 0.0

    async def hit(self, limits: Sequence[Limit]) -> Verdict:
        """
        Count a request unless one of the limits is reached.

        Raises:
            CountsUnavailable: It is a login, and Valkey cannot be reached.
        """
        now = time.monotonic()
        if now >= self._ask_at:
            was_lost = self._is_lost
            if was_lost:
                self._ask_at = now + LONGEST  # one request tries for all
            try:
                verdict = await self._shared.hit(limits)
            except ValkeyUnreachable as error:
                self._lose(error)
            else:
                if was_lost:  # else it was sent before another request failed
                    self._find()
                return verdict
        if any(limit.kind == "login" for limit in limits):
            raise CountsUnavailable(
                "Logins are counted on all servers together, and the place where that "
                "is done does not answer. Nothing was checked; try again in a moment.",
                retry_after=max(1, self._ask_at - time.monotonic()),
            )
        return await self._own.hit(limits)

    async def close(self) -> None:
        """Close all connections."""
        await self._shared.close()
        await self._own.close()

    def _lose(self, error: ValkeyUnreachable) -> None:
        self._ask_at = time.monotonic() + PAUSE
        if not self._is_lost:
            self._is_lost = True
            log.warning(
                "Valkey does not answer (%s): until it does, this process counts "
                "requests by itself, and refuses logins if they have a rate.",
                error,
            )

    def _find(self) -> None:
        self._is_lost = False
        self._ask_at = 0
        log.warning("Valkey answers again: requests are counted together.")


def _key(limit: Limit) -> str:
    amount, seconds = limit.rate
    return f"llamakeep:{limit.kind}:{amount}/{seconds}:{limit.whose}"
