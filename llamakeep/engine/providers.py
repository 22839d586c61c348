"""What providers do and cost, as administrators see it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from llamakeep.domain import first_id, utc_now
from llamakeep.storage import Storage
from llamakeep.storage.runs.providers import Ends, Load

FAILURES_PERIOD = timedelta(days=1)
"""How far back a failure is looked for."""

RECENT = timedelta(minutes=10)
"""Of which runs it is counted how they ended."""

CACHED = 5.0
"""Seconds for which counts and sums are shown again."""

A_DAY = timedelta(days=1)
SETTLING = timedelta(minutes=10)
"""How long after its id was made a run may be stored, with clocks that differ."""


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
    this_month: Mapping[str, Decimal]


class _Costs:
    """
    What runs cost since a moment, by provider.

    Those that have ended are read once, for there may be millions.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._since: datetime | None = None
        self._day = datetime.min.replace(tzinfo=UTC)
        """That of `_until`: a day is read at a time, since a month takes long."""
        self._settled: Mapping[str, Decimal] = {}
        self._until = ""
        """The id up to which they are settled."""

    async def read(self, since: datetime, settled: str) -> Mapping[str, Decimal]:
        """Return the sums; runs with ids below `settled` cost no more than they do."""
        first = first_id("run_", since)
        if since != self._since:
            self._since = self._day = since
            self._settled, self._until = {}, first
        while self._until < settled:
            end = first_id("run_", self._day + A_DAY)
            until = min(end, settled)
            costs = await self._storage.provider_costs(since=self._until, until=until)
            self._settled, self._until = _sum(self._settled, costs), until
            if until == end:
                self._day += A_DAY
        recent = await self._storage.provider_costs(since=self._until)
        return _sum(self._settled, recent)


def _sum(
    some: Mapping[str, Decimal], others: Mapping[str, Decimal]
) -> Mapping[str, Decimal]:
    nothing = Decimal(0)
    return {
        name: some.get(name, nothing) + others.get(name, nothing)
        for name in some.keys() | others.keys()
    }


class Figures:
    """Reads the figures; many readers at once take one look at the database."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._order = asyncio.Lock()
        self._sums: tuple[float, _Sums] | None = None
        self._today, self._this_month = _Costs(storage), _Costs(storage)

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
                cost_this_month=sums.this_month.get(name, nothing),
            )
            for name in names
        }

    async def _read_sums(self, now: datetime) -> _Sums:
        storage = self._storage
        today = datetime(now.year, now.month, now.day, tzinfo=UTC)
        settled = first_id("run_", now - SETTLING)
        if (oldest := await storage.oldest_unfinished()) is not None:
            settled = min(settled, oldest)
        return _Sums(
            ends=await storage.provider_ends(since=now - RECENT),
            today=await self._today.read(today, settled),
            this_month=await self._this_month.read(today.replace(day=1), settled),
        )
