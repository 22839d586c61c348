"""Parsing and validation of runs that `GET /history/export` wrote."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    model_validator,
)

from llamakeep.domain import (
    LARGEST_USAGE,
    LONGEST_FINISH_REASON,
    UNFINISHED,
    Image,
    Item,
    Parameters,
    Run,
    RunStatus,
    ToolResult,
    Usage,
    User,
    first_id,
    utc_now,
)
from llamakeep.domain.embeddings import ALONE
from llamakeep.domain.messages import images_in, said_in
from llamakeep.domain.runs import FOLLOWS_NOTHING, Source, without_texts
from llamakeep.errors import RunInterrupted
from llamakeep.history.imported_parts import (
    Imported,
    ImportedImage,
    ImportedMessage,
    ImportedPart,
    read_images,
)
from llamakeep.schemas.fields import (
    Dimensions,
    EndUser,
    Integer,
    MaxTokens,
    Metadata,
    MinTokens,
    Number,
    Penalty,
    Seed,
    StopText,
    Temperature,
    TopK,
    TopP,
)
from llamakeep.schemas.text import Text, check_json, check_written_out

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ULID = "[0-7][0-9a-hjkmnp-tv-z]{25}"
APART = timedelta(hours=1)
"""How far the time in a run's id may lie before `created_at`."""
AHEAD = timedelta(days=3660)
"""How far in the future times may lie, since the exporting clock may have been off."""

LONGEST_TEXT = 16 * 1024 * 1024
"""Characters of a response: as many as providers may return."""
LONGEST_PROMPT = 4 * 1024 * 1024
"""Bytes of a prompt with its prior messages, unless settings permit more."""

LONGEST_IMAGES = 16 * 1024 * 1024
"""Bytes of a run's images, unless settings permit more."""


def longest_line(max_said: int, max_images: int) -> int:
    """Return how many bytes a line has at most; JSON escapes some bytes as six."""
    images = max(max_images, LONGEST_IMAGES) // 3 * 4
    return 6 * (max(max_said, LONGEST_PROMPT) + LONGEST_TEXT) + images + 1024**2


def _check_moment(moment: datetime) -> datetime:
    if not _EPOCH <= moment <= utc_now() + AHEAD:
        raise ValueError("It is more than ten years in the future, or before 1970.")
    return moment


def _check_is_written(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("Write it as in 2026-11-22T12:34:56Z.")  # noqa: TRY004 - of a file
    return check_written_out(value)


RunId = Annotated[str, Field(pattern=f"^run_{_ULID}$")]
Followed = Annotated[str, Field(pattern=f"^(run_{_ULID}|{FOLLOWS_NOTHING})$")]
Moment = Annotated[
    AwareDatetime, BeforeValidator(_check_is_written), AfterValidator(_check_moment)
]
Count = Annotated[Integer, Field(ge=0, lt=2**53)]


class _Usage(Imported):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Annotated[Number, Field(ge=0, le=9e9)] | None = None
    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class _Error(Imported):
    type: Annotated[Text, Field(max_length=64)]
    detail: Text


Json = Annotated[dict[str, Any], AfterValidator(check_json)]


class _Embedding(Imported):
    dimensions: Dimensions | None = None
    token_ids: Literal[True] | None = None


class _Parameters(Imported):
    max_tokens: MaxTokens | None = None
    min_tokens: MinTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: tuple[StopText, ...] = ()
    seed: Seed | None = None
    response_format: Json | None = None
    tools: tuple[Json, ...] = ()
    tool_choice: Annotated[str, Field(max_length=64)] | Json | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Annotated[Text, Field(max_length=64)] | None = None
    verbosity: Annotated[Text, Field(max_length=64)] | None = None
    logprobs: bool | None = None
    top_logprobs: Count | None = None
    logit_bias: dict[Annotated[Text, Field(max_length=64)], Number] | None = None
    truncation: Annotated[Text, Field(max_length=64)] | None = None
    service_tier: Annotated[Text, Field(max_length=64)] | None = None
    extra_fields: Json | None = None
    echoed: Json | None = None
    prompted_tools: bool | None = None
    prompted_format: bool | None = None
    route: Json | None = None
    embedding: _Embedding | None = None


class ImportedRun(Imported):
    """One line of an export."""

    id: RunId
    created_at: Moment
    status: RunStatus
    model: Annotated[Text, Field(pattern=r"^[^:]{1,32}:[\s\S]{1,256}$")]
    prompt: Text
    response: Text
    conversation_id: Annotated[str, Field(pattern=f"^({ALONE}|conv_){_ULID}$")]
    timestamp: Moment | None = None
    """Ignored: it is `created_at` without its fraction."""
    route: Json | None = None
    """Ignored: it is in the parameters."""
    position: Annotated[Text, Field(max_length=64)] | None = None
    """Ignored: nothing is followed from a file."""
    started_at: Moment | None = None
    first_word_at: Moment | None = None
    finished_at: Moment | None = None
    previous_run_id: Followed | None = None
    earlier: tuple[ImportedMessage, ...] = ()
    system_prompt: Text | None = None
    parameters: _Parameters = _Parameters()
    metadata: Metadata = Field(default_factory=dict)
    end_user: EndUser | None = None
    source: Source | None = None
    store: bool = True
    resolved_model: Annotated[Text, Field(max_length=256)] | None = None
    finish_reason: Annotated[Text, Field(max_length=256)] | None = None
    """Older versions stored longer ones in SQLite; they are cut."""
    usage: _Usage = _Usage()
    error: _Error | None = None
    last_message: ImportedMessage | None = None
    output: list[ImportedPart] | None = None
    images: tuple[ImportedImage, ...] = ()
    """Those of its images that no line before has."""
    _images: Sequence[Image] = ()
    """All that its messages show."""
    _output: Sequence[Item] = ()

    @model_validator(mode="after")
    def _check_parts(self) -> "ImportedRun":
        """Refuse texts that are not those of their parts."""
        last = self.last_message
        if last is not None and last.content != self.prompt:
            raise ValueError("Its prompt is not the text of its `last_message`.")
        items = [each.part() for each in self.output or ()]
        if any(isinstance(item, ToolResult | Image) for item in items):
            raise ValueError("Its `output` has what no model says.")
        self._output = cast("Sequence[Item]", items)
        if items and said_in(items) != self.response:
            raise ValueError("Its response is not the text of its `output`.")
        messages = [*self.earlier, *([] if last is None else [last])]
        shown = images_in([each.message() for each in messages])
        self._images = read_images(self.images, shown)
        return self

    @model_validator(mode="after")
    def _check_conversation(self) -> "ImportedRun":
        is_alone = self.conversation_id.startswith(ALONE)
        if is_alone is (self.parameters.embedding is None):
            raise ValueError(
                f"Its `conversation_id` begins with {ALONE} if it has "
                "`parameters.embedding`, and else it does not."
            )
        return self

    @model_validator(mode="after")
    def _check_id(self) -> "ImportedRun":
        """
        Refuse an id that would sort the run before its `created_at`.

        Its time may lie after that: ids of a process and of a conversation keep growing
        when the clock is set back.
        """
        first = first_id("run_", self.created_at - APART)
        if not first <= self.id <= first_id("run_", utc_now() + AHEAD):
            raise ValueError("Its `id` is not of the time that `created_at` says.")
        return self

    @model_validator(mode="after")
    def _check_size(self) -> "ImportedRun":
        detail = "" if self.error is None else self.error.detail
        if max(len(self.response), len(detail)) > LONGEST_TEXT:
            raise ValueError(
                f"Its response has more than {LONGEST_TEXT} characters. Leave some out."
            )
        return self

    def _end(self) -> tuple[RunStatus, str | None, str | None]:
        """Return the final status; an unfinished run is interrupted here."""
        if self.status in UNFINISHED:
            unknown = RunInterrupted(
                "The run was going on when it was exported. Its text so far is kept."
            )
            return RunStatus.INTERRUPTED, unknown.code, unknown.detail
        if self.error is None:
            return self.status, None, None
        return self.status, self.error.type, self.error.detail

    def _first_word_after(self) -> int | None:
        if self.first_word_at is None:
            return None
        passed = self.first_word_at - self.created_at
        return max(0, passed // timedelta(microseconds=1))

    def of(self, user: User) -> Run:
        """Return the run as one of `user`'s."""
        provider, _, model = self.model.partition(":")
        cost = self.usage.cost_usd
        status, error_code, error_detail = self._end()
        is_over = status is self.status
        run = Run(
            id=self.id,
            user_id=user.id,
            status=status,
            attempt=1,
            provider=provider,
            model=model,
            prompt=self.prompt,
            response=self.response,
            created_at=self.created_at,
            started_at=self.started_at,
            first_word_after=self._first_word_after(),
            finished_at=self.finished_at if is_over else self.created_at,
            conversation_id=self.conversation_id,
            previous_run_id=self.previous_run_id,
            prior_messages=[each.message() for each in self.earlier],
            last_message=None
            if self.last_message is None
            else self.last_message.message(),
            images=self._images,
            output=self._output,
            system_prompt=self.system_prompt,
            parameters=Parameters(
                **self.parameters.model_dump(exclude={"embedding"}),
                embedding=None
                if self.parameters.embedding is None
                else self.parameters.embedding.model_dump(exclude_none=True),
            ),
            metadata=self.metadata,
            end_user=self.end_user,
            source=self.source if "source" in self.model_fields_set else "import",
            store=self.store,
            resolved_model=self.resolved_model,
            finish_reason=self.finish_reason
            and self.finish_reason[:LONGEST_FINISH_REASON],
            usage=Usage(
                _plausible(self.usage.input_tokens),
                _plausible(self.usage.output_tokens),
                None if cost is None else Decimal(repr(cost)),
                _plausible(self.usage.cached_tokens),
                _plausible(self.usage.reasoning_tokens),
            ),
            error_code=error_code,
            error_detail=error_detail,
        )
        return run if run.store else without_texts(run)


def _plausible(tokens: int | None) -> int | None:
    return None if tokens is None or tokens > LARGEST_USAGE else tokens
