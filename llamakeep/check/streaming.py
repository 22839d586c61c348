"""Whether each provider streams an answer, and how soon it begins."""

import asyncio
from collections.abc import Collection
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.check.threads import in_thread
from llamakeep.domain import Message, Parameters
from llamakeep.errors import (
    LlamaKeepError,
    ModelNotFound,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
)
from llamakeep.providers.base import CompletionRequest, Finished, ItemText, Provider
from llamakeep.providers.creating import create_registry
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings

LONGEST = 60.0
"""Seconds that an answer may take: a model may have to be loaded for it."""
PROMPT = "Count from one to twenty in words."
MOST_TOKENS = 64
_ENDLESS = 10_000
"""Characters that no answer of so few tokens has."""

_CREDENTIALS = {
    "openai": "LLAMAKEEP_OPENAI_API_KEY",
    "replicate": "REPLICATE_API_TOKEN",
}
_MODELS = {
    "openai": "LLAMAKEEP_OPENAI_MODELS",
    "replicate": "LLAMAKEEP_REPLICATE_MODEL",
    "local": "LLAMAKEEP_LOCAL_MODEL",
}
_BUFFERED = (
    "If that server can stream, turn buffering off in what is in between (nginx: "
    "`proxy_buffering off;`)."
)
_ENDING = (
    "Look at its log, or update it: an answer ends with a `finish_reason` and "
    "`data: [DONE]`."
)
_LOADING = (
    "See whether the model is loaded there, and how many prompts wait for it; prompts "
    "of users fail after LLAMAKEEP_SILENCE_TIMEOUT seconds of silence."
)


@dataclass(slots=True)
class _Heard:
    """What has come of an answer."""

    asked_at: float = field(default_factory=monotonic)
    pieces: int = 0
    length: int = 0
    first_after: float = 0.0
    """Seconds to the first piece, which may be of what a model thinks."""
    end: Finished | None = None

    def note(self, text: str) -> None:
        """Count a piece."""
        self.first_after = self.first_after or self.after
        self.pieces += bool(text)
        self.length += len(text)

    @property
    def after(self) -> float:
        """Seconds since the request."""
        return monotonic() - self.asked_at


async def check_streaming(
    settings: Settings, *, leave_out: Collection[str] = (), longest: float = LONGEST
) -> list[Finding]:
    """
    Ask the default model of each provider for a short answer, which may cost something.

    Args:
        settings: They name the providers.
        leave_out: Names of providers that are known not to work.
        longest: Seconds that an answer may take.
    """
    # A running server would be sent webhooks about predictions that it does not know.
    settings = settings.model_copy(update={"public_url": None})
    registry = await in_thread(partial(create_registry, settings))
    try:
        asked = [
            _ask(registry, registry.provider(name), settings.default_model, longest)
            for name in registry.names
            if name not in leave_out
        ]
        return list(await asyncio.gather(*asked))
    finally:
        await registry.close()


async def _ask(
    registry: Registry, provider: Provider, default: str | None, longest: float
) -> Finding:
    heard, about = _Heard(), provider.name
    model = "The default model"
    try:
        async with asyncio.timeout(longest):
            model = await _model_of(registry, provider, default)
            lacking = await registry.unsupported(provider, model, ["max_tokens"])
            most = None if lacking else MOST_TOKENS
            await _listen(provider, model, most, heard)
    except TimeoutError:
        if not heard.pieces:
            return failed(
                about, f"{model} said nothing within {longest:g} s.", _LOADING
            )
        said = (
            f"{model} began after {heard.first_after:.2f} s, and had not ended after "
            f"{longest:g} s."
        )
        return failed(about, said, _ENDING)
    except LlamaKeepError as error:
        said = error.how_to_fix
        if heard.pieces:
            said = f"{model} broke off, {heard.after:.2f} s after the request: {said}"
        return failed(about, said, _fix_of(error, about))
    return _judged(about, model, heard)


async def _model_of(registry: Registry, provider: Provider, default: str | None) -> str:
    if default is not None:
        with suppress(LlamaKeepError):
            chosen, model = await registry.resolve(default)
            if chosen is provider:
                return model
    return await provider.default_model()


async def _listen(
    provider: Provider, model: str, most: int | None, heard: _Heard
) -> None:
    request = CompletionRequest(
        run_id="run_check",
        attempt=1,
        model=model,
        messages=[Message("user", PROMPT)],
        parameters=Parameters(max_tokens=most),
    )
    async with aclosing(provider.answer(request)) as events:
        async for event in events:
            match event:
                case str(text) | ItemText(text):
                    heard.note(text)
                case Finished():
                    heard.end = event
            if heard.length > _ENDLESS:
                return


def _judged(about: str, model: str, heard: _Heard) -> Finding:
    if heard.end is None:
        said = (
            f"{model} does not stop: it wrote {heard.length:,} characters in "
            f"{heard.after:.1f} s, where {MOST_TOKENS} tokens were asked for."
        )
        fix = f"Update that server, or name another model in {_models_of(about)}."
        return failed(about, said, fix)
    if not heard.pieces:
        said = f"{model} ended without a text ({heard.end.finish_reason})."
        fix = (
            f"Ask it more with `llamakeep ask --model {about}:{model}`: it may have "
            f"spent all {MOST_TOKENS} tokens on reasoning that is not shown."
        )
        return warning(about, said, fix)
    if heard.pieces == 1:
        said = (
            f"{model} does not stream: its answer came in one piece after "
            f"{heard.first_after:.2f} s."
        )
        return warning(about, said, _BUFFERED)
    return ok(
        about,
        f"{model} streams: {heard.pieces} pieces, the first after "
        f"{heard.first_after:.2f} s, the end after {heard.after:.2f} s.",
    )


def _models_of(about: str) -> str:
    """Return what the setting with the models of a provider is called."""
    return _MODELS.get(about, f"upstreams.{about}.models")


def _fix_of(error: LlamaKeepError, about: str) -> str:
    match error:
        case ProviderUnauthenticated():
            key = _CREDENTIALS.get(about, f"the key of upstreams.{about}")
            return f"Correct {key}."
        case ProviderOutOfCredit():
            return "Buy credit for that account."
        case ProviderRateLimited():
            return "Wait, or raise the limits of that account."
        case ModelNotFound():
            return f"Name another model in {_models_of(about)}."
        case ProviderTimeout():
            return _LOADING
    where = "https://replicate.com/predictions" if about == "replicate" else "its log"
    return f"Look at {where}; `llamakeep ask` asks it again."
