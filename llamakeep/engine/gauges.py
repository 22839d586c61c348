"""Gauges of what all processes share: the database, quotas and circuit breakers."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from llamakeep.domain import UNFINISHED, utc_now
from llamakeep.engine.engine import Engine
from llamakeep.errors import StorageUnavailable
from llamakeep.metrics.families import Family, Series
from llamakeep.providers.registry import Registry
from llamakeep.storage import Storage
from llamakeep.storage.figures import Figures

CACHED = 5.0
"""Seconds for which figures of the database are shown again."""

PATIENCE = 2.0
"""Seconds that the database has to answer."""

_BUILD = Family("llamakeep_build_info", "The version.", "gauge", ("version",))
_UP = Family(
    "llamakeep_database_up", "1 if the database answered this scrape, else 0.", "gauge"
)
_UNFINISHED = Family(
    "llamakeep_database_unfinished_runs",
    "Unfinished runs of all servers of the database, by status.",
    "gauge",
    ("status",),
)
_OLDEST = Family(
    "llamakeep_database_oldest_unfinished_run_seconds",
    "Age of the oldest unfinished run of all servers.",
    "gauge",
)
_OVERDUE = Family(
    "llamakeep_database_lease_overdue_seconds",
    "How long the lease is over that ended first and was not renewed or taken over.",
    "gauge",
)
_WEBHOOKS = Family(
    "llamakeep_database_pending_webhooks",
    "Webhooks that wait for their run or for their next try.",
    "gauge",
)
_ROWS = Family(
    "llamakeep_database_history_rows",
    "Runs in the database, as it estimates them.",
    "gauge",
)
_SIZE = Family("llamakeep_database_size_bytes", "Size of the database.", "gauge")
_FREE = Family(
    "llamakeep_database_disk_free_bytes",
    "Free space on the disk of the SQLite file.",
    "gauge",
)
_QUOTA = Family(
    "llamakeep_server_quota",
    "The limits of all users together, and what of them is used and reserved.",
    "gauge",
    ("limit", "part"),
)
_BREAKERS = Family(
    "llamakeep_circuit_breakers",
    "Circuit breakers that are not closed, of providers and of single models.",
    "gauge",
    ("gen_ai_provider_name", "state"),
)


class Gauges:
    """Reads the gauges; many readers at once take one look at the database."""

    def __init__(
        self, version: str, storage: Storage, registry: Registry, engine: Engine
    ) -> None:
        self._version = version
        self._storage = storage
        self._registry = registry
        self._engine = engine
        self._lock = asyncio.Lock()
        self._known: tuple[float, Sequence[Series]] | None = None

    async def read(self) -> Sequence[Series]:
        """Return the gauges; those of a database that does not answer are left out."""
        build, breakers = Series(_BUILD), Series(_BREAKERS)
        build.add(self._version)
        for name in self._registry.names:
            for state in ("open", "half-open"):
                breakers.add(name, state, amount=0)
        for one in self._engine.circuits.states():
            breakers.add(one.provider, "open" if one.seconds_left else "half-open")
        async with self._lock:
            now = time.monotonic()
            if self._known is None or now - self._known[0] >= CACHED:
                self._known = now, await self._of_database()
            return [build, breakers, *self._known[1]]

    async def _of_database(self) -> Sequence[Series]:
        up = Series(_UP)
        up.add(amount=0)
        with suppress(StorageUnavailable, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                figures = await self._storage.figures()
                quotas = await self._quotas()
            up.add()
            return [up, quotas, *_series_of(figures)]
        return [up]

    async def _quotas(self) -> Series:
        series = Series(_QUOTA)
        wanted = list(self._engine.quotas.of_server(utc_now()))
        counts = await self._storage.counts(wanted) if wanted else ()
        for quota, count in zip(wanted, counts, strict=True):
            for part, value in (
                ("limit", quota.limit),
                ("used", count.used(quota.unit)),
                ("reserved", count.reserved(quota.unit)),
            ):
                series.add(quota.name, part, amount=float(value))
        return series


def _series_of(figures: Figures) -> Sequence[Series]:
    now = utc_now()
    unfinished = Series(_UNFINISHED)
    for status in sorted(UNFINISHED):
        unfinished.add(status, amount=figures.unfinished.get(status, 0))
    found = [unfinished]
    for family, since in (
        (_OLDEST, figures.oldest_unfinished),
        (_OVERDUE, figures.oldest_lease),
    ):
        age = 0 if since is None else (now - since).total_seconds()
        found.append(_gauge(family, max(0, age)))
    found += [
        _gauge(_WEBHOOKS, figures.pending_webhooks),
        _gauge(_ROWS, figures.rows),
        _gauge(_SIZE, figures.size),
    ]
    if figures.free is not None:
        found.append(_gauge(_FREE, figures.free))
    return found


def _gauge(family: Family, value: float) -> Series:
    series = Series(family)
    series.add(amount=value)
    return series
