"""Supervision of the embedded model's process."""

import asyncio
import os
from pathlib import Path
from typing import NamedTuple, Protocol

from llamakeep.errors import ProviderUnavailable
from llamakeep.providers.local.process import LocalProcess
from llamakeep.providers.local.weights import find_weights, missing_weights, model_id
from llamakeep.restarts import RestartBackoff
from llamakeep.settings import Settings

MAX_TOKENS = 512
"""How long an answer may be when the prompt does not say; then it ends as `length`."""

_DEATH_NOTICE = 0.5


class Endpoint(NamedTuple):
    """A process of the embedded model, and how to talk to it."""

    base_url: str
    api_key: str
    pid: int


class Supervisor(Protocol):
    """Starts the embedded model's process, and knows its address."""

    async def endpoint(self, *, instead_of: Endpoint | None = None) -> Endpoint:
        """
        Return where the model answers, once it does.

        If what did not answer, `instead_of`, lives all the same, it is returned.

        Raises:
            ProviderUnavailable: The process cannot be started, or not yet again.
        """
        ...

    async def close(self) -> None:
        """End what was started."""
        ...


class LocalSupervisor:
    """
    Runs the model in a child of this process.

    It starts with the first request, and again with one after it died.
    """

    def __init__(self, settings: Settings, weights: Path | None = None) -> None:
        self._settings = settings
        self._weights = weights
        self._process: LocalProcess | None = None
        self._lock = asyncio.Lock()
        self._pauses = RestartBackoff()

    async def endpoint(self, *, instead_of: Endpoint | None = None) -> Endpoint:
        """
        Return where the model answers, as `Supervisor.endpoint` says.

        Raises:
            NoProvider: There is no file with weights.
            ProviderUnavailable: The process cannot be started, or not yet again.
        """
        async with self._lock:
            process = self._process
            if process is not None and instead_of == _endpoint_of(process):
                await process.has_died(within=_DEATH_NOTICE)
            if process is not None and not process.is_running:
                self._pauses.died()
                await self._stop()
            if self._process is None:
                self._process = await self._start()
            return _endpoint_of(self._process)

    async def close(self) -> None:
        """End the model's process, within two seconds."""
        async with self._lock:
            await self._stop()

    async def _start(self) -> LocalProcess:
        if (pause := self._pauses.left) > 0:
            raise ProviderUnavailable(
                "The embedded model's process dies again and again; it is started "
                f"again in {pause:.0f} s.",
                retry_after=pause,
            )
        weights = self._weights or await asyncio.to_thread(find_weights, self._settings)
        if weights is None:
            raise missing_weights(self._settings)
        self._pauses.begin()
        try:
            return await LocalProcess.start(
                weights,
                alias=model_id(weights),
                threads=self._settings.local_threads or _spare_cores(),
                slots=self._settings.local_slots,
                context=self._settings.local_context,
                max_tokens=MAX_TOKENS,
            )
        except ProviderUnavailable:
            self._pauses.died()
            raise

    async def _stop(self) -> None:
        if self._process is not None:
            await self._process.stop()
            self._process = None


def _endpoint_of(process: LocalProcess) -> Endpoint:
    return Endpoint(process.base_url, process.api_key, process.pid)


def _spare_cores() -> int:
    """
    Return all cores but one.

    llama.cpp's threads wait for one another by spinning: where one of them has to share
    its core with the server, all of them crawl (measured: 4 tokens/s instead of 30).
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return max(1, (usable or os.cpu_count() or 1) - 1)
