"""One prompt, one answer, nothing kept."""

from contextlib import aclosing

from llamakeep.domain import Message, new_id
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.creating import create_registry
from llamakeep.settings import Settings


async def run_llama(
    prompt: str, *, model: str | None = None, settings: Settings | None = None
) -> str:
    """
    Answer `prompt`, without a server and without a history.

    Args:
        prompt: What to ask.
        model: `provider:model`; without it, the default one of the settings.
        settings: Read from the environment and `.env` if they are not given.

    Raises:
        LlamaKeepError: No model is configured, or the provider failed.
    """
    registry = create_registry(settings or Settings())
    try:
        provider, name = await registry.resolve(model)
        request = CompletionRequest(
            run_id=new_id("run_"),
            attempt=1,
            model=name,
            messages=[Message("user", prompt)],
        )
        async with aclosing(provider.answer(request)) as events:
            return "".join([event async for event in events if isinstance(event, str)])
    finally:
        await registry.close()
