"""Conversion between Replicate's names of models and versions and this server's."""

import re
from hashlib import sha256

from llamakeep.domain import Run
from llamakeep.errors import NoProvider, UnknownModel
from llamakeep.providers.base import Provider
from llamakeep.providers.registry import Registry

HIDDEN = "hidden"
"""Replicate's version of a prediction that names only the model."""

_VERSION = re.compile(r"[0-9a-f]{64}")


def version_of(provider: str, model: str) -> str:
    """Return the id of a model's only version."""
    return sha256(f"{provider}:{model}".encode()).hexdigest()


def written(provider: str, model: str) -> tuple[str, str]:
    """Return a model as `owner` and `name`."""
    name, _, version = model.rpartition(":")
    if name and _VERSION.fullmatch(version):
        model = name
    owner, slash, name = model.partition("/")
    return (owner, name) if slash else (provider, model)


def model_of(run: Run) -> str:
    """Return the model of `run` as `owner/name`."""
    model = run.model
    if _VERSION.fullmatch(model) and run.resolved_model:
        model = run.resolved_model
    return "/".join(written(run.provider, model))


def run_version_of(run: Run) -> str:
    """Return the version that the request for `run` named, or else `HIDDEN`."""
    version = run.model.rpartition(":")[2]
    return version if _VERSION.fullmatch(version) else HIDDEN


async def find_model(registry: Registry, owner: str, name: str) -> tuple[Provider, str]:
    """
    Return the provider that serves `owner/name`, and its name for the model.

    `owner` may be a configured provider's name or a model owner's at Replicate. It is
    taken as the provider if that serves `name`, unless `owner/name` is served as well.

    Raises:
        UnknownModel: No provider serves it.
        NoProvider: No provider is configured.
    """
    both = f"{owner}/{name}"
    try:
        named: Provider | None = registry.provider(owner)
    except NoProvider:
        named = None
    if named is None or not named.serves(name):
        return await registry.resolve(both)
    if named.serves(both):
        provider, model = await registry.resolve(both)
        if provider is not named:
            return provider, model
    return named, name


async def find_version(registry: Registry, version: str) -> tuple[Provider, str]:
    """
    Return the provider that serves `version`, and its name for the model.

    Raises:
        UnknownModel: No provider serves it.
        NoProvider: No provider is configured.
    """
    name, _, version_id = version.rpartition(":")
    if _VERSION.fullmatch(version_id):
        for known in await registry.models():
            provider, _, model = known.partition(":")
            is_named = name in {"", "/".join(written(provider, model))}
            if is_named and version_id == version_of(provider, model):
                return registry.provider(provider), model
    owner, slash, name = version.partition("/")
    if slash:
        return await find_model(registry, owner, name)
    return await registry.resolve(version)


async def check_version(
    registry: Registry, owner: str, name: str, version_id: str
) -> tuple[Provider, str]:
    """
    Return the provider that serves a version of `owner/name`, and its name for it.

    Raises:
        UnknownModel: There is no such version.
        NoProvider: No provider is configured.
    """
    provider, model = await find_model(registry, owner, name)
    if version_id == version_of(provider.name, model):
        return provider, model
    if not _VERSION.fullmatch(version_id):
        raise UnknownModel(f"The model {owner}/{name} has no version {version_id!r}.")
    return await registry.resolve(f"{owner}/{name}:{version_id}")
