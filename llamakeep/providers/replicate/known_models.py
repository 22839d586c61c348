"""Which models there are at Replicate, as it said when it was asked last."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from llamakeep.errors import ModelNotFound, PromptRejected, ProviderTimeout

FRESH, FRESH_ABSENCE = 3600.0, 60.0
"""Seconds for which it is believed that there is a model, or that there is none."""
LONGEST_NAME = 256
MOST_MODELS = 1000
_TIMEOUT = 5.0


class KnownModels:
    """
    Whether models exist; each is asked for once at a time.

    For a model that does not exist, `fetch` raises what that means.
    """

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[object]],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}
        self._asking: dict[str, asyncio.Task[bool]] = {}

    async def has(self, model: str) -> bool:
        """
        Return whether Replicate has a model, or may have it, if that cannot be asked.

        Raises:
            ProviderError: Replicate cannot be asked now.
        """
        if len(model) > LONGEST_NAME:
            return False
        if "/" not in model:
            return True  # a bare version does not say whose it is
        until, is_there = self._known.get(model, (0.0, False))
        if self._clock() < until:
            return is_there
        asking = self._asking.get(model)
        if asking is None:
            asking = self._asking[model] = asyncio.create_task(self._ask(model))
            asking.add_done_callback(lambda _: self._asking.pop(model, None))
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """Stop asking."""
        for asking in self._asking.values():
            asking.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, model: str) -> bool:
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._fetch(model)
        except (ModelNotFound, PromptRejected):
            is_there, fresh = False, FRESH_ABSENCE
        except TimeoutError as error:
            raise ProviderTimeout(
                f"Replicate did not say in time whether it has the model {model!r}."
            ) from error
        else:
            is_there, fresh = True, FRESH
        if len(self._known) >= MOST_MODELS:
            self._known.clear()  # names that are made up take no more memory than this
        self._known[model] = (self._clock() + fresh, is_there)
        return is_there
