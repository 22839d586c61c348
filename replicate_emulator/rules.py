"""What shall happen to which request: scripts, pacing and faults in one form."""

import random
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from replicate_emulator.settings import Seconds

Garbled = Literal["html", "half", "empty", "list", "number", "null", "other"]
"""Ways in which a body is not what it should be."""

RequestKind = Literal["create", "get", "list", "cancel", "stream", "models", "account"]


class Rule(BaseModel):
    """
    What to do with the requests it fits; a field that is not set changes nothing.

    A request follows the first rule that fits it, and that one alone.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    on: RequestKind = "create"
    """The kind of request it is for."""

    match: str = ""
    """Only where this is part of the prompt."""

    times: PositiveInt | None = 1
    """How many requests it is for; `null` for all that come."""

    probability: Annotated[float, Field(gt=0, le=1)] = 1
    """How likely a request that fits is really chosen."""

    delay: Seconds = 0
    """Seconds to wait before answering the request, after creating."""

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    """Refuse the request with this status and the body Replicate has for it."""

    retry_after: Seconds = 1
    """What a 429 says."""

    html: bool = False
    """Refuse with a page of HTML, as the servers in front of Replicate's do."""

    drop: bool = False
    """Cut the connection: without an answer, or in the middle of a stream."""

    creates: bool = False
    """Create the prediction in spite of the error response."""

    garbled: Garbled | None = None
    """
    Answer with this status and a body that is not Replicate's: a page of HTML, half of
    the JSON, no body, the JSON of something else, or of another prediction.
    """

    deltas: tuple[str, ...] | None = None
    """The answer, exactly so."""

    output: Any = None
    """The answer of a model that does not say texts: any JSON."""

    streams: bool = True
    """Whether the prediction has the address of a stream."""

    start_delay: Seconds | None = None
    """Instead of the setting."""

    first_delay: Seconds | None = None
    """Instead of the setting."""

    gap: Seconds | None = None
    """Instead of the setting."""

    words: PositiveInt | None = None
    """Instead of the setting."""

    after: NonNegativeInt | None = None
    """
    After how many deltas `end`, `drop` or a missing `done` happen; without it: after
    the last. An `end` after 0 happens before the model has started.
    """

    end: Literal["failed", "canceled", "aborted", "never"] | None = None
    """How the prediction ends instead of succeeding; `aborted` is before it starts."""

    error: str | None = None
    """What went wrong, when `end` is `failed`."""

    origin: HttpUrl | None = None
    """Makes all of the prediction's `urls` point somewhere else."""

    done: bool = True
    """Whether the stream says `done`; if not, it just ends."""

    crlf: bool = False
    """End the stream's lines with CRLF instead of LF."""

    logs: bool = False
    """Begin the stream with the prediction's logs, as a `logs` event."""

    @model_validator(mode="after")
    def _says_what_it_means(self) -> Self:
        if self.error is not None and self.end != "failed":
            raise ValueError("error goes with end: failed")
        if self.creates and (self.on != "create" or not self.refuses):
            raise ValueError("creates goes with a create that is refused or dropped")
        if self.output is not None and self.deltas is not None:
            raise ValueError("either output or deltas is the answer")
        if self.garbled and (self.refuses or self.on == "stream"):
            raise ValueError("a request is either refused, dropped or garbled")
        if self.drop and self.on == "stream" and self.status is not None:
            raise ValueError("a stream is either refused or dropped")
        return self

    @property
    def refuses(self) -> bool:
        """Whether the request gets no regular answer."""
        return self.status is not None or self.drop


NO_RULE = Rule()


class Rules:
    """The rules that are waiting for requests, first come first served."""

    def __init__(self, seed: int | None = None) -> None:
        self._waiting: list[tuple[Rule, int | None]] = []
        self._random = random.Random(seed)  # noqa: S311 - chance, not a secret

    def add(self, rule: Rule) -> None:
        """Queue `rule` behind the others."""
        self._waiting.append((rule, rule.times))

    def clear(self) -> None:
        """Forget all rules."""
        self._waiting.clear()

    def waiting(self) -> list[Rule]:
        """Return the rules that can still apply, with the `times` that are left."""
        return [rule.model_copy(update={"times": n}) for rule, n in self._waiting]

    def take(self, kind: RequestKind, prompt: str = "") -> Rule:
        """Return the rule for a request, which counts as used."""
        for place, (rule, times) in enumerate(self._waiting):
            if rule.on != kind or rule.match not in prompt:
                continue
            if rule.probability < 1 and self._random.random() >= rule.probability:
                continue
            if times == 1:
                del self._waiting[place]
            elif times is not None:
                self._waiting[place] = (rule, times - 1)
            return rule
        return NO_RULE
