"""Creating the registry: from variables, and from `llamakeep.toml`."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from pydantic import SecretStr

from llamakeep.domain import Capabilities, Price
from llamakeep.providers.base import Provider
from llamakeep.providers.facts import UpstreamFacts
from llamakeep.providers.http import most_connections
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.local.supervisor import Supervisor
from llamakeep.providers.local.weights import find_weights, has_engine, weights_fault
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.providers.openai.refusals import SettingNames
from llamakeep.providers.registry import Registry
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.webhooks import WEBHOOK_PATH
from llamakeep.providers.responses.provider import BackgroundProvider
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import (
    LocalUpstream,
    OpenAIUpstream,
    ReplicateUpstream,
    Upstream,
    Upstreams,
    read,
)

log = logging.getLogger(__name__)


def create_registry(
    settings: Settings,
    supervisor: Supervisor | None = None,
    upstreams: Upstreams | None = None,
) -> Registry:
    """
    Create the registry from `settings`, `llamakeep.toml` and the installed packages.

    It may be empty: then every prompt is refused with what to configure. It reads the
    disk, so do not call it on the event loop.

    Args:
        settings: The server's settings.
        supervisor: Runs the embedded model; by default, this process does.
        upstreams: What the file says; by default, it is read.

    Raises:
        UpstreamsFault: The file has mistakes.
    """
    said = read(settings) if upstreams is None else upstreams
    return registry_of(settings, said, providers_of(settings, said, supervisor))


def registry_of(
    settings: Settings, said: Upstreams, providers: Mapping[str, Provider]
) -> Registry:
    """Return the registry of these providers, with what is said of them."""
    facts = {
        name: _facts_of(each)
        for name, each in said.upstreams.items()
        if not isinstance(each, LocalUpstream)
    }
    if settings.openai_base_url is not None:
        facts["openai"] = UpstreamFacts(
            extra_fields=settings.openai_extra_fields,
            has_one_model=len(settings.openai_models) == 1,
        )
    return Registry(
        list(providers.values()),
        default_model=settings.default_model,
        prices=settings.prices,
        fault=weights_fault(settings),
        aliases=said.aliases,
        facts=facts,
        limits=said.limits,
        roles=said.roles,
    )


def _facts_of(upstream: OpenAIUpstream | ReplicateUpstream) -> UpstreamFacts:
    extra_fields, has_one_model = None, False
    if isinstance(upstream, OpenAIUpstream):
        extra_fields = upstream.extra_fields
        has_one_model = len(upstream.models) == 1
    return UpstreamFacts(
        extra_fields=extra_fields,
        rooms={
            model: can.context
            for model, can in upstream.capabilities.items()
            if can.context is not None
        },
        parallel=upstream.parallel,
        has_one_model=has_one_model,
    )


def providers_of(
    settings: Settings,
    said: Upstreams,
    supervisor: Supervisor | None = None,
    *,
    before: Upstreams | None = None,
    known: Mapping[str, Provider] | None = None,
) -> Mapping[str, Provider]:
    """
    Return the providers in order of preference: those of variables come first.

    Where a file is read anew, those are `known` that it had `before`; what has not
    changed is the same provider.
    """
    known = known or {}
    was = {} if before is None else before.upstreams
    found: dict[str, Provider] = {}
    if settings.replicate_api_token is not None:
        found["replicate"] = known.get("replicate") or _replicate(
            settings, settings.replicate_api_token
        )
    if settings.openai_base_url is not None:
        found["openai"] = known.get("openai") or _openai(settings)
    for name, upstream in said.upstreams.items():
        if name != "local" and name not in found:
            is_same = name in known and _asked(was.get(name)) == _asked(upstream)
            found[name] = known[name] if is_same else _named(settings, name, upstream)
    if has_engine() and find_weights(settings) is not None:
        found["local"] = known.get("local") or LocalProvider(settings, supervisor)
    return found


def _asked(upstream: Upstream | None) -> Upstream | None:
    """Return what makes a provider another one; how many runs it may have does not."""
    return upstream and upstream.model_copy(update={"parallel": None})


def _openai(settings: Settings) -> Provider:
    key = settings.openai_api_key
    return OpenAIProvider(
        str(settings.openai_base_url),
        api_key=key.get_secret_value() if key else None,
        models=settings.openai_models,
        connect_timeout=settings.connect_timeout,
        silence_timeout=settings.silence_timeout,
        most_connections=most_connections(settings),
    )


def _named(settings: Settings, name: str, upstream: Upstream) -> Provider:
    """Return the provider that the file describes."""
    if isinstance(upstream, ReplicateUpstream):
        assert upstream.key is not None
        return _replicate(settings, upstream.key, name, upstream)
    upstream = cast("OpenAIUpstream", upstream)
    place = f"upstreams.{name}"
    create: Callable[..., Provider] = OpenAIProvider
    if upstream.background:
        header = upstream.idempotency_header
        create = partial(BackgroundProvider, idempotency_header=header)
    return create(
        str(upstream.base_url),
        api_key=upstream.key.get_secret_value() if upstream.key else None,
        models=upstream.models,
        name=name,
        who=f"The upstream {name!r}",
        connect_timeout=upstream.connect_timeout or settings.connect_timeout,
        silence_timeout=upstream.silence_timeout or settings.silence_timeout,
        most_connections=most_connections(settings),
        headers=upstream.headers,
        prices=upstream.price_by_model,
        able=_abilities(upstream),
        unavailable_is_free=upstream.unavailable_is_free,
        setting_names=SettingNames(
            key=f"the key of {place}",
            base_url=f"{place}.base_url",
            models=f"{place}.models",
        ),
    )


def _abilities(upstream: OpenAIUpstream) -> Mapping[str, Capabilities]:
    return {name: each.capabilities for name, each in upstream.capabilities.items()}


def _replicate(
    settings: Settings,
    api_token: SecretStr,
    name: str = "replicate",
    upstream: ReplicateUpstream | None = None,
) -> Provider:
    if not api_token.get_secret_value().startswith("r8_"):
        log.warning(
            "the key of the upstream %s does not look like one of Replicate's API "
            "tokens, which start with r8_",
            name,
        )
    base_url, model = settings.replicate_base_url, settings.replicate_model
    connect_timeout, silence_timeout = settings.connect_timeout, None
    prices: Mapping[str, Price] = {}
    if upstream is not None:
        base_url, [model, *_] = upstream.base_url, upstream.models
        connect_timeout = upstream.connect_timeout or connect_timeout
        silence_timeout, prices = upstream.silence_timeout, upstream.price_by_model
    url, secret = settings.public_url, settings.replicate_webhook_secret
    if name != "replicate":  # webhooks have one path, and are one account's
        url = secret = None
    return ReplicateProvider(
        api_token.get_secret_value(),
        webhook_url=str(url).rstrip("/") + WEBHOOK_PATH if url else None,
        webhook_secret=secret.get_secret_value() if secret else None,
        base_url=str(base_url),
        default_model=model,
        run_timeout=settings.run_timeout,
        connect_timeout=connect_timeout,
        silence_timeout=silence_timeout or settings.silence_timeout,
        most_connections=most_connections(settings),
        prompted_tools=settings.prompted_tools,
        name=name,
        prices=prices,
    )
