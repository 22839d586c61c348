"""What a server says of itself when it is ready."""

import asyncio

from fastapi import FastAPI

from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import DEFAULT_MODEL

MODEL_TIMEOUT = 3
"""Seconds that a provider may take to name its default model before we go on."""


async def describe_model(app: FastAPI) -> str:
    """Return which model answers, or why none does."""
    try:
        async with asyncio.timeout(MODEL_TIMEOUT):
            provider, model = await app.state.registry.resolve(None)
            if model == DEFAULT_MODEL:
                model = await provider.default_model()  # it says why there is none
    except LlamaKeepError as error:
        return f"none yet. {error.detail.removeprefix('Nothing was stored. ')}"
    except TimeoutError:
        return "not known yet: the provider is slow to say"
    return f"{provider.name}:{model}"
