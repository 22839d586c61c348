"""Whether each provider can be reached, takes the credentials and has its models."""

import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from llamakeep.check.clocks import compare
from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.check.openai import SILENCE, Server
from llamakeep.check.threads import in_thread
from llamakeep.errors import (
    LlamaKeepError,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
)
from llamakeep.http.address import without_secrets
from llamakeep.providers.creating import create_registry
from llamakeep.providers.local.installing import HOW_TO_CONFIGURE
from llamakeep.providers.local.weights import (
    NO_MODEL,
    find_weights,
    has_engine,
    weights_fault,
)
from llamakeep.providers.registry import Registry
from llamakeep.providers.replicate.api import ReplicateApi
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import (
    LocalUpstream,
    OpenAIUpstream,
    ReplicateUpstream,
    Upstreams,
)
from llamakeep.webhooks.addresses import Guard, NotAllowed

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
    settings: Settings, upstreams: Upstreams, now: Callable[[], datetime]
) -> dict[str, Check]:
    """Return a check for each provider that variables or `llamakeep.toml` name."""
    checks: dict[str, Check] = {"model": partial(check_default_model, settings)}
    if settings.replicate_api_token is not None:
        checks["replicate"] = partial(check_replicate, settings, now)
    if settings.openai_base_url is not None:
        checks["openai"] = partial(check_openai, settings, now)
    for name, upstream in upstreams.upstreams.items():
        if not isinstance(upstream, LocalUpstream):
            # Its name may be that of another check.
            checks[f"upstreams.{name}"] = partial(
                check_upstream, settings, name, upstream, now
            )
    if settings.local_model != NO_MODEL:
        checks["local"] = partial(check_local, settings)
    return checks


async def check_default_model(settings: Settings) -> list[Finding]:
    """Return whether there is a provider for prompts that name no model."""
    registry = await in_thread(partial(create_registry, settings))
    try:
        if not registry.names:
            return [failed("model", "No model is configured.", HOW_TO_CONFIGURE)]
        unpriced = await _unpriced(registry)
        if settings.default_model is None:
            said = f"Prompts without one go to {registry.names[0]}."
            return [ok("model", said), *unpriced]
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
    said = f"Prompts without one go to {provider.name}:{model}."
    return [ok("model", said), *unpriced]


async def _unpriced(registry: Registry) -> list[Finding]:
    """Return which upstreams have a limit in dollars, and models without a price."""
    found = []
    for name, limits in registry.limits.items():
        if name not in registry.by_name or not (
            limits.dollars_per_day or limits.dollars_per_month
        ):
            continue
        try:
            models = await registry.provider(name).models()
        except LlamaKeepError:
            continue  # the check of the upstream says it
        missing = [model for model in models if registry.price(name, model) is None]
        if missing:
            said = (
                f"limits.{name} has dollars, and prices of its models are not known: "
                f"{', '.join(missing[:10])}. Prompts to them are refused."
            )
            fix = f"Add them to upstreams.{name}.prices or LLAMAKEEP_PRICES."
            found.append(warning("model", said, fix))
    return found


def _fix_of_replicate(error: LlamaKeepError, url: str, *, key: str, model: str) -> str:
    match error:
        case ProviderUnauthenticated():
            return key
        case ProviderUnavailable() | ProviderTimeout():
            return _REACH.format(url=without_secrets(url))
    return model


async def check_replicate(
    settings: Settings, now: Callable[[], datetime]
) -> list[Finding]:
    """Return whether Replicate takes the token, and has the default model."""
    token = settings.replicate_api_token
    assert token is not None
    upstream = ReplicateUpstream(
        kind="replicate",
        base_url=settings.replicate_base_url,
        models=(settings.replicate_model,),
    ).model_copy(update={"key": token})
    return await _check_replicate(
        settings, "replicate", upstream, now, key=_HOW_TO_LOG_IN, model=_MODEL
    )


async def _check_replicate(
    settings: Settings,
    about: str,
    upstream: ReplicateUpstream,
    now: Callable[[], datetime],
    *,
    key: str,
    model: str,
) -> list[Finding]:
    assert upstream.key is not None
    url = str(upstream.base_url)
    api = ReplicateApi(
        url,
        upstream.key.get_secret_value(),
        connect_timeout=upstream.connect_timeout or settings.connect_timeout,
        silence_timeout=min(settings.silence_timeout, SILENCE),
    )
    name = upstream.models[0].partition(":")[0]
    found: list[Finding] = []
    try:
        if "/" in name:
            await api.model(name)
        if about == "replicate":  # the one that webhooks are about
            found = await _webhooks_of_replicate(settings, api)
        theirs = api.clock.now()
    except LlamaKeepError as error:
        fix = _fix_of_replicate(error, url, key=key, model=model)
        return [failed(about, error.detail, fix)]
    finally:
        await api.close()
    if theirs is not None:
        found += compare(about, theirs, now(), whose="Replicate")
    return [ok(about, f"It takes the token, and has {name}."), *found]


async def check_upstream(
    settings: Settings,
    name: str,
    upstream: OpenAIUpstream | ReplicateUpstream,
    now: Callable[[], datetime],
) -> list[Finding]:
    """Return whether an upstream of `llamakeep.toml` takes its key and has models."""
    place = f"upstreams.{name}"
    key = f"Correct what {place}.key_variable or key_file names."
    if isinstance(upstream, ReplicateUpstream):
        model = f"Correct {place}.models or base_url."
        return await _check_replicate(
            settings, name, upstream, now, key=key, model=model
        )
    server = Server(
        about=name,
        url=str(upstream.base_url).rstrip("/"),
        key=upstream.key,
        models=upstream.models,
        headers=upstream.headers,
        connect_timeout=upstream.connect_timeout or settings.connect_timeout,
        silence_timeout=upstream.silence_timeout or settings.silence_timeout,
        fix_key=key,
        base_url_name=f"{place}.base_url",
        models_name=f"{place}.models",
        who=f"The upstream {name!r}",
    )
    return await server.check(now)


async def check_openai(
    settings: Settings, now: Callable[[], datetime]
) -> list[Finding]:
    """Return whether the OpenAI-compatible server lists the models in the settings."""
    server = Server(
        about="openai",
        url=str(settings.openai_base_url).rstrip("/"),
        key=settings.openai_api_key,
        models=settings.openai_models,
        connect_timeout=settings.connect_timeout,
        silence_timeout=settings.silence_timeout,
        fix_key="Set LLAMAKEEP_OPENAI_API_KEY (or LLAMAKEEP_OPENAI_API_KEY_FILE) to a "
        "key of that server.",
        base_url_name="LLAMAKEEP_OPENAI_BASE_URL",
        models_name="LLAMAKEEP_OPENAI_MODELS",
    )
    return await server.check(now)


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
