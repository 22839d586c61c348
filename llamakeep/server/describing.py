"""The line about the default model that a server prints at its start."""

import asyncio

from fastapi import FastAPI

from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import DEFAULT_MODEL
from llamakeep.services import Services

MODEL_TIMEOUT = 3
"""Seconds that a provider has to name its default model."""


async def describe_model(app: FastAPI) -> str:
    """Return the default model, or why there is none."""
    services: Services = app.state.services
    try:
        async with asyncio.timeout(MODEL_TIMEOUT):
            provider, model = await services.registry.resolve(None)
            if model == DEFAULT_MODEL:
                model = await provider.default_model()
    except LlamaKeepError as error:
        return f"none yet. {error.how_to_fix}"
    except TimeoutError:
        return "not known yet: the provider is slow to say"
    return f"{provider.name}:{model}"
