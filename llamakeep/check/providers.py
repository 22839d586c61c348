"""Whether each provider can be reached, takes the credentials and has its models."""

import os
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from llamakeep.check.clocks import compare
from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.check.threads import in_thread
from llamakeep.errors import (
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.http import Client, HttpError
from llamakeep.providers.creating import create_registry
from llamakeep.providers.local.weights import (
    NO_MODEL,
    find_weights,
    has_engine,
    weights_fault,
)
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.providers.registry import HOW_TO_CONFIGURE
from llamakeep.providers.replicate.api import ReplicateApi
from llamakeep.providers.replicate.clock import RemoteClock
from llamakeep.settings import Settings
from llamakeep.webhooks.addresses import Guard, NotAllowed

_SILENCE = 5.0
"""Seconds that a provider may be silent before it answers for its models."""
_KEY = (
    "Set LLAMAKEEP_OPENAI_API_KEY (or LLAMAKEEP_OPENAI_API_KEY_FILE) to a key of that "
    "server."
)
_BASE_URL = (
    "Start that server, or correct LLAMAKEEP_OPENAI_BASE_URL, with its /v1: "
    "`curl {url}/models` has to list models."
)
_HOW_TO_LOG_IN = (
    "Copy a token from https://replicate.com/account/api-tokens into "
    "REPLICATE_API_TOKEN."
)
_MODEL = "Correct LLAMAKEEP_REPLICATE_MODEL or LLAMAKEEP_REPLICATE_BASE_URL."
_REACH = (
    "Let this computer reach {url}: look at its DNS, its firewall and HTTPS_PROXY. "
    "https://status.replicate.com says whether Replicate is down."
)
Check = Callable[[], Coroutine[Any, Any, list[Finding]]]


def provider_checks(
    settings: Settings, now: Callable[[], datetime]
) -> dict[str, Check]:
    """Return a check for each provider that the settings name."""
    checks: dict[str, Check] = {"model": partial(check_default_model, settings)}
    if settings.replicate_api_token is not None:
        checks["replicate"] = partial(check_replicate, settings, now)
    if settings.openai_base_url is not None:
        checks["openai"] = partial(check_openai, settings, now)
    if settings.local_model != NO_MODEL:
        checks["local"] = partial(check_local, settings)
    return checks


async def check_default_model(settings: Settings) -> list[Finding]:
    """Return whether there is a provider for prompts that name no model."""
    registry = await in_thread(partial(create_registry, settings))
    try:
        if not registry.names:
            return [failed("model", "No model is configured.", HOW_TO_CONFIGURE)]
        if settings.default_model is None:
            return [ok("model", f"Prompts without one go to {registry.names[0]}.")]
        provider, model = await registry.resolve(settings.default_model)
    except LlamaKeepError:
        return [
            failed(
                "model",
                f"No configured provider serves LLAMAKEEP_DEFAULT_MODEL="
                f"{settings.default_model}.",
                "Configure its provider, list it in LLAMAKEEP_OPENAI_MODELS if that "
                f"is set, or name a model of: {', '.join(registry.names)}.",
            )
        ]
    finally:
        await registry.close()
    return [ok("model", f"Prompts without one go to {provider.name}:{model}.")]


async def check_openai(
    settings: Settings, now: Callable[[], datetime]
) -> list[Finding]:
    """Return whether the OpenAI-compatible server lists the models in the settings."""
    url = str(settings.openai_base_url).rstrip("/")
    key = settings.openai_api_key
    secret = key.get_secret_value() if key else None
    provider = OpenAIProvider(
        url,
        api_key=secret,
        connect_timeout=settings.connect_timeout,
        silence_timeout=min(settings.silence_timeout, _SILENCE),
    )
    about, wanted = "openai", settings.openai_models
    try:
        listed = await provider.models()
    except ProviderAnswerInvalid as error:
        if wanted:
            found = [warning(about, error.detail, _BASE_URL.format(url=url))]
        else:
            found = [failed(about, error.detail, _BASE_URL.format(url=url))]
    except LlamaKeepError as error:
        return [failed(about, error.detail, _fix_of_openai(error, url))]
    else:
        found = [_models_of_openai(wanted, listed)]
    finally:
        await provider.close()
    authorization = {"authorization": f"Bearer {secret}"} if secret else {}
    theirs = await _time_at(url, "/models", authorization)
    if theirs is not None:
        found += compare(about, theirs, now(), whose=url)
    return found


def _models_of_openai(wanted: tuple[str, ...], listed: Any) -> Finding:
    known = {*listed, *(name.removesuffix(":latest") for name in listed)}
    missing = [name for name in wanted if name not in known]
    if missing:
        some = ", ".join([*listed][:10])
        return warning(
            "openai",
            f"The server does not list {', '.join(missing)}.",
            f"Correct LLAMAKEEP_OPENAI_MODELS: it lists {some}.",
        )
    if not wanted and not listed:
        return failed(
            "openai",
            "The server lists no model.",
            "Load one there (`ollama pull llama3.2`), or set LLAMAKEEP_OPENAI_MODELS.",
        )
    return ok("openai", f"It takes the key, and lists {len(listed)} models.")


def _fix_of_openai(error: LlamaKeepError, url: str) -> str:
    match error:
        case ProviderUnauthenticated():
            return _KEY
        case ProviderRateLimited():
            return "Wait, or raise the limits of that account."
    return _BASE_URL.format(url=url)


def _fix_of_replicate(error: LlamaKeepError, settings: Settings) -> str:
    match error:
        case ProviderUnauthenticated():
            return _HOW_TO_LOG_IN
        case ProviderUnavailable() | ProviderTimeout():
            return _REACH.format(url=settings.replicate_base_url)
    return _MODEL


async def check_replicate(
    settings: Settings, now: Callable[[], datetime]
) -> list[Finding]:
    """Return whether Replicate takes the token, and has the default model."""
    token, about = settings.replicate_api_token, "replicate"
    assert token is not None
    api = ReplicateApi(
        str(settings.replicate_base_url),
        token.get_secret_value(),
        connect_timeout=settings.connect_timeout,
        silence_timeout=min(settings.silence_timeout, _SILENCE),
    )
    name = settings.replicate_model.partition(":")[0]
    try:
        if "/" in name:
            await api.model(name)
        found = await _webhooks_of_replicate(settings, api)
        theirs = api.clock.now()
    except LlamaKeepError as error:
        return [failed(about, error.detail, _fix_of_replicate(error, settings))]
    finally:
        await api.close()
    if theirs is not None:
        found += compare(about, theirs, now(), whose="Replicate")
    return [ok(about, f"It takes the token, and has {name}."), *found]


async def _webhooks_of_replicate(
    settings: Settings, api: ReplicateApi
) -> list[Finding]:
    url, secret = settings.public_url, settings.replicate_webhook_secret
    about, found = "replicate", []
    if url is None:
        return []
    is_real = (settings.replicate_base_url.host or "").endswith("replicate.com")
    if is_real:
        try:
            Guard().target(str(url))
        except NotAllowed:
            found.append(
                warning(
                    about,
                    f"Replicate cannot send webhooks to {url}: that is not on the "
                    "Internet. Answers are looked for more rarely.",
                    "Set LLAMAKEEP_PUBLIC_URL to an https address on the Internet.",
                )
            )
    if secret is not None and await api.webhook_secret() != secret.get_secret_value():
        found.append(
            failed(
                about,
                "Replicate signs webhooks with another secret than "
                "LLAMAKEEP_REPLICATE_WEBHOOK_SECRET: all will be refused.",
                "Remove that setting, and Replicate is asked for it.",
            )
        )
    return found


async def check_local(settings: Settings) -> list[Finding]:
    """Return whether the embedded model's file is there, and fits into memory."""
    return await in_thread(partial(_look_at_weights, settings))


def _look_at_weights(settings: Settings) -> list[Finding]:
    about, is_asked_for = "local", settings.local_model is not None
    if (fault := weights_fault(settings)) is not None:
        fix = "Correct LLAMAKEEP_LOCAL_MODEL, or set it to `none`."
        return [failed(about, fault, fix)]
    weights = find_weights(settings)
    if weights is None or not has_engine():
        if not is_asked_for:
            return []  # the check of the default model says it if there is no other
        said = "LLAMAKEEP_LOCAL_MODEL is set, and llama.cpp is not installed."
        return [failed(about, said, "Run `pip install 'llamakeep[local]'`.")]
    size, free = weights.stat().st_size, free_memory()
    if free is not None and size > free:
        said = (
            f"{weights.name} has {size / 1024**3:.1f} GiB, and {free / 1024**3:.1f} "
            "GiB of memory are free."
        )
        fix = "Take a smaller model or a smaller quantization, or add memory."
        return [warning(about, said, fix)]
    return [ok(about, f"{weights.name} is there.")]


def free_memory() -> int | None:
    """Return how many bytes of memory are available, where the system says it."""
    with suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as file:  # noqa: PTH123 - no path of ours
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


async def _time_at(
    base_url: str, path: str, headers: Mapping[str, str]
) -> datetime | None:
    """Return the time in a response's `Date`, if it has one."""
    clock = RemoteClock()
    client = Client(
        base_url, connect_timeout=_SILENCE, silence_timeout=_SILENCE, headers=headers
    )
    try:
        async with client.send("GET", path, keep_alive=False) as response:
            clock.hear(response.header("date"))
    except (TimeoutError, HttpError):
        return None
    finally:
        await client.close()
    return clock.now()
