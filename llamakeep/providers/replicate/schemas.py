"""Which inputs each model takes, asked once an hour."""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from llamakeep.errors import LlamaKeepError
from llamakeep.providers.replicate.api import ReplicateApi
from llamakeep.providers.replicate.input_schema import (
    UNKNOWN,
    InputSchema,
    read_schema,
)

log = logging.getLogger(__name__)

_FRESH = 3600.0
_FRESH_GUESS = 60.0
_TIMEOUT = 5.0
QUICK = 2.0
"""Seconds that an answer of Replicate's may take before a prompt is stored."""
_MAX_SCHEMAS = 1000


class Schemas:
    """
    The input schemas of models.

    Where Replicate cannot be asked, what was known before is used, or else what Llama's
    inputs are documented to be: a prompt does not fail for that.
    """

    def __init__(
        self, api: ReplicateApi, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._api = api
        self._clock = clock
        self._known: dict[str, tuple[float, InputSchema]] = {}
        self._asking: dict[str, asyncio.Task[InputSchema]] = {}

    def known(self, model: str) -> InputSchema:
        """Return what is known of `model` without asking."""
        _, schema = self._known.get(model, (0.0, UNKNOWN))
        return schema

    async def quick(self, model: str) -> InputSchema:
        """Return what `model` takes, as far as it is known in a moment."""
        try:
            async with asyncio.timeout(QUICK):
                return await self.schema(model)
        except TimeoutError:
            return self.known(model)

    async def schema(self, model: str) -> InputSchema:
        """Return what `model` takes."""
        until, schema = self._known.get(model, (0.0, UNKNOWN))
        if self._clock() < until:
            return schema
        asking = self._asking.get(model)
        if asking is None:
            asking = asyncio.create_task(self._ask(model, schema))
            self._asking[model] = asking
            asking.add_done_callback(lambda _: self._asking.pop(model, None))
        return await asyncio.shield(asking)

    async def fetch(self, model: str) -> InputSchema:
        """
        Return what Replicate says that `model` takes.

        Raises:
            ModelNotFound: There is no such model.
            ProviderError: Replicate cannot be asked.
        """
        name, _, version = model.partition(":")
        if "/" not in name:
            return UNKNOWN  # a bare version does not say whose it is
        if version:
            found = read_schema(await self._api.model(f"{name}/versions/{version}"))
        else:
            body = await self._api.model(name)
            body = body if isinstance(body, dict) else {}
            found = read_schema(
                body.get("latest_version"),
                must_name_version=body.get("is_official") is False,
            )
        schema = found or UNKNOWN
        self._keep(model, schema, _FRESH)
        return schema

    async def close(self) -> None:
        """Stop asking."""
        for asking in self._asking.values():
            asking.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, model: str, fallback: InputSchema) -> InputSchema:
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self.fetch(model)
        except (LlamaKeepError, TimeoutError) as error:
            log.info("the inputs of %s are not known: %s", model, error)
            self._keep(model, fallback, _FRESH_GUESS)
            return fallback

    def _keep(self, model: str, schema: InputSchema, seconds: float) -> None:
        if len(self._known) >= _MAX_SCHEMAS:
            self._known.clear()  # a client may make names up
        self._known[model] = (self._clock() + seconds, schema)
