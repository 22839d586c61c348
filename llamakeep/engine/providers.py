"""What providers do and cost, as administrators see it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from llamakeep.domain import utc_now
from llamakeep.storage import Storage
from llamakeep.storage.runs.providers import Ends, Load

FAILURES_PERIOD = timedelta(days=1)
"""How far back a failure is looked for."""

RECENT = timedelta(minutes=10)
"""Of which runs it is counted how they ended."""

CACHED = 5.0
"""Seconds for which counts and sums are shown again."""

DAYS_CACHED = 3600.0
"""Seconds for which that is done of days that are over."""


@dataclass(frozen=True, slots=True)
class ProviderFigures:
    """The figures of one provider, on all servers of the database."""

    load: Load
    recent: Ends
    cost_today: Decimal
    cost_this_month: Decimal


@dataclass(frozen=True, slots=True)
class _Sums:
    ends: Mapping[str, Ends]
    today: Mapping[str, Decimal]
    before: Mapping[str, Decimal]


class Figures:
    """Reads the figures; many readers at once take one look at the database."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._order = asyncio.Lock()
        self._sums: tuple[float, _Sums] | None = None
        self._before: tuple[float, datetime, Mapping[str, Decimal]] | None = None

    async def read(self, names: list[str]) -> Mapping[str, ProviderFigures]:
        """Return those of the providers with these names."""
        loads = await self._storage.provider_loads(since=utc_now() - FAILURES_PERIOD)
        async with self._order:
            if self._sums is None or time.monotonic() - self._sums[0] >= CACHED:
                self._sums = time.monotonic(), await self._read_sums(utc_now())
        sums, nothing = self._sums[1], Decimal(0)
        return {
            name: ProviderFigures(
                load=loads.get(name, Load()),
                recent=sums.ends.get(name, Ends()),
                cost_today=sums.today.get(name, nothing),
                cost_this_month=sums.today.get(name, nothing)
                + sums.before.get(name, nothing),
            )
            for name in names
        }

    async def _read_sums(self, now: datetime) -> _Sums:
        storage = self._storage
        today = datetime(now.year, now.month, now.day, tzinfo=UTC)
        known = self._before
        is_known = (
            known is not None
            and known[1] == today
            and time.monotonic() - known[0] < DAYS_CACHED
        )
        if known is None or not is_known:
            before = await storage.provider_costs(
                since=today.replace(day=1), until=today
            )
            known = self._before = time.monotonic(), today, before
        return _Sums(
            ends=await storage.provider_ends(since=now - RECENT),
            today=await storage.provider_costs(since=today),
            before=known[2],
        )
