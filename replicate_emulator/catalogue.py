"""The models that the emulator pretends to run."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from replicate_emulator.routes.schemas import (
    GPT,
    GPT_STRUCTURED,
    LLAMA_3,
    LLAMA_3_1,
    LLAMA_4,
    LLAMA_4_OLDER,
    PARROT,
    TEXT_OR_JSON,
    Properties,
    openapi_schema,
)


@dataclass(frozen=True, slots=True)
class Version:
    """One build of a model."""

    id: str
    created_at: str
    openapi_schema: dict[str, Any]

    @property
    def output_fields(self) -> Collection[str]:
        """The fields of its output, if that is an object."""
        output = self.openapi_schema["components"]["schemas"]["Output"]
        return list(output.get("properties", ()))

    def rendered(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "id": self.id,
            "created_at": self.created_at,
            # Nullable for Replicate, but its Python client insists on both.
            "cog_version": "0.16.9",
            "openapi_schema": self.openapi_schema,
        }


@dataclass(frozen=True, slots=True)
class Model:
    """A model; what is official is run by name, all others by version."""

    name: str
    """`owner/name`."""
    is_official: bool
    versions: tuple[Version, ...]
    """Newest first."""
    max_prompt: int
    """How many tokens a prompt may have."""

    def rendered(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        owner, _, name = self.name.partition("/")
        return {
            "url": f"https://replicate.com/{self.name}",
            "owner": owner,
            "name": name,
            "description": "Served by llamakeep's emulator.",
            "visibility": "public",
            "github_url": None,
            "paper_url": None,
            "license_url": None,
            "run_count": 0,
            "cover_image_url": None,
            "default_example": None,
            "latest_version": self.versions[0].rendered(),
            "is_official": self.is_official,
            "created_at": self.versions[-1].created_at,
        }


@dataclass(frozen=True, slots=True)
class Target:
    """What a create request wants to run."""

    model: Model
    version: Version
    deployment: str | None = None


def _model(
    name: str,
    *builds: Properties,
    output: Properties | None = None,
    max_prompt: int = 8096,
    is_official: bool = True,
) -> Model:
    """Return a model with a version for each build, the oldest first."""
    versions = tuple(
        Version(
            hashlib.sha256(f"{name}#{number}".encode()).hexdigest(),
            f"2026-01-{number:02}T00:00:00.000000Z",
            openapi_schema(properties, output),
        )
        for number, properties in enumerate(builds, 1)
    )
    return Model(name, is_official, versions[::-1], max_prompt)


_LONG = 131_072
BUILT_IN = (
    _model("meta/llama-4-maverick-instruct", LLAMA_4, LLAMA_4_OLDER, max_prompt=_LONG),
    _model("meta/llama-4-scout-instruct", LLAMA_4_OLDER, LLAMA_4, max_prompt=_LONG),
    _model("meta/meta-llama-3.1-405b-instruct", LLAMA_3_1),
    _model("meta/meta-llama-3-70b-instruct", LLAMA_3),
    _model("meta/meta-llama-3-8b-instruct", LLAMA_3),
    _model("openai/gpt-5-mini", GPT, max_prompt=_LONG),
    _model(
        "openai/gpt-5-structured",
        GPT_STRUCTURED,
        output=TEXT_OR_JSON,
        max_prompt=_LONG,
    ),
    _model("llamakeep/parrot", PARROT, PARROT, is_official=False),
)
DEPLOYMENTS = {
    "llamakeep/llama": "meta/llama-4-maverick-instruct",
    "llamakeep/parrot": "llamakeep/parrot",
}
"""Which model a deployment runs."""


class Catalogue:
    """
    The models there are.

    Args:
        more: More official models, by `owner/name`.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        added = [_model(name, LLAMA_4_OLDER, max_prompt=_LONG) for name in more]
        self._models = {model.name: model for model in (*BUILT_IN, *added)}
        self._versions = {
            version.id: Target(model, version)
            for model in self._models.values()
            for version in model.versions
        }

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def find(self, name: str) -> Model | None:
        """Return the model called `owner/name`, if there is one."""
        return self._models.get(name)

    def find_official(self, name: str) -> Target | None:
        """Return what `owner/name` runs, if it is an official model."""
        model = self._models.get(name)
        if model is None or not model.is_official:
            return None
        return Target(model, model.versions[0])

    def find_version(self, spelling: str) -> Target | None:
        """Return what one of the three spellings of a version means, if anything."""
        name, _, version_id = spelling.rpartition(":")
        if not name and "/" in version_id:
            return self.find_official(version_id)
        found = self._versions.get(version_id)
        return found if found and name in {"", found.model.name} else None

    def find_deployment(self, name: str) -> Target | None:
        """Return what the deployment `owner/name` runs, if there is one."""
        model = self._models.get(DEPLOYMENTS.get(name, ""))
        return Target(model, model.versions[0], name) if model else None
