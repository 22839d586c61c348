"""Prompts, parameters and runs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from llamakeep.domain.embeddings import Vector
from llamakeep.domain.limits import Reservation
from llamakeep.domain.messages import Image, Message, Reasoning, Text
from llamakeep.domain.output import Item
from llamakeep.domain.states import RunStatus
from llamakeep.domain.values import value
from llamakeep.errors import LlamaKeepError

MaxTokensName = Literal["max_tokens", "max_completion_tokens"]
"""What OpenAI's API calls the limit of an answer; few models know both names."""


@value
class Parameters:
    """How a model is asked to answer; `None` leaves it to the provider."""

    max_tokens: int | None = None
    min_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_format: Mapping[str, Any] | None = None
    """The form of the text, as OpenAI's API writes it: JSON, or JSON of a schema."""
    tools: Sequence[Mapping[str, Any]] = ()
    """What the model may call, as OpenAI's chat completions write it."""
    tool_choice: str | Mapping[str, Any] | None = None
    """`none`, `auto`, `required`, or a tool's name as chat completions write it."""
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    logprobs: bool | None = None
    """Whether to say how likely the tokens of a text were."""
    top_logprobs: int | None = None
    """How many others to say with each token."""
    logit_bias: Mapping[str, float] | None = None
    """What is added to the likelihood of tokens, by their numbers."""
    truncation: str | None = None
    """`auto`: the oldest messages are left out where all are too long for a model."""
    service_tier: str | None = None
    """With which priority the provider answers; `None` for its usual one."""
    extra_fields: Mapping[str, Any] | None = None
    """Fields that only some servers know, which are handed to them as they are."""
    echoed: Mapping[str, Any] | None = None
    """What no model reads, and OpenAI's Responses API shows again."""
    prompted_tools: bool | None = None
    """Whether the server describes the tools in the prompt; it is not the client's."""
    prompted_format: bool | None = None
    """Whether it asks for `response_format` there."""
    route: Mapping[str, Any] | None = None
    """Of a prompt to an alias: its way to the model that answers; see `routes.py`."""
    embedding: Mapping[str, Any] | None = None
    """
    If vectors of the prompt are wanted instead of an answer, what is said of them:
    `dimensions`, and whether the texts are lists of `token_ids`.
    """

    def given(self) -> dict[str, Any]:
        """Return the ones that were set, by name."""
        given: dict[str, Any] = {}
        if self is PLAIN:
            return given
        for name in _PARAMETERS:
            if (value := getattr(self, name)) not in (None, ()):
                given[name] = value
        return given


_PARAMETERS = tuple(each.name for each in fields(Parameters))
PLAIN = Parameters()
"""None is set, as for most prompts."""
TOOL_PARAMETERS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
ALLOWED_TOOLS = "allowed_tools"
"""The type of a `tool_choice` that names the tools which may be called now."""


def allowed_in(choice: object) -> Mapping[str, Any] | None:
    """Return the `mode` and the `tools` of a choice that names several tools."""
    if isinstance(choice, Mapping) and choice.get("type") == ALLOWED_TOOLS:
        allowed: Mapping[str, Any] = choice[ALLOWED_TOOLS]
        return allowed
    return None


def told_of(parameters: Parameters) -> Parameters:
    """
    Return what a provider is told of a run's parameters.

    Few servers know a choice among several tools: they are told of these tools only.
    """
    told = parameters
    if told.echoed is not None or told.route is not None:
        told = replace(told, echoed=None, route=None)
    if (allowed := allowed_in(told.tool_choice)) is not None:
        names = {tool["function"]["name"] for tool in allowed["tools"]}
        tools = [tool for tool in told.tools if tool["function"]["name"] in names]
        told = replace(told, tools=tools, tool_choice=allowed["mode"])
    return told


CLIENT = "client"
"""
The provider of a message that a client added to a conversation, which is kept as a run
without an answer. With neither text nor message, it only began the conversation.
"""

FOLLOWS_NOTHING = "none"
"""The `previous_run_id` of a run that follows no other one of its conversation."""

Source = Literal[
    "prompt",
    "chat-completions",
    "completions",
    "responses",
    "messages",
    "predictions",
    "embeddings",
    "conversations",
    "command-line",
    "import",
]
"""
What a run came through: an API, the command line, or an import of what did not say.

`conversations` is what a client added to a conversation.
"""

LONGEST_FINISH_REASON = 64
LONGEST_END_USER = 512
LARGEST_USAGE = 2**31 - 1
"""A larger number of tokens is a mistake, which not every database can keep."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a completion took; `None` means that the provider did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    """US dollars, where the model's price is known."""
    cached_tokens: int | None = None
    """Those of the input that the provider had in its cache."""
    reasoning_tokens: int | None = None
    """Those of the output that were reasoning."""


_NO_USAGE = Usage()


class NotificationEvent(StrEnum):
    """An event of a run that a webhook reports."""

    START = "start"
    """The run was accepted."""
    END = "end"


class NotificationStatus(StrEnum):
    """The status of an outgoing webhook."""

    WAITING = "waiting"
    """For the run, or for its next try."""
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"


@value
class Notification:
    """An outgoing webhook about a run."""

    id: str
    """The same for each try, so that the receiver can recognise it."""
    event: NotificationEvent
    url: str
    host: str
    """The webhooks of a host share a queue, so that a dead host delays no other."""
    form: str
    """The API whose format it has."""
    origin: str | None = None
    """Where the client found this server, for the links in it."""
    status: NotificationStatus = NotificationStatus.WAITING
    tries: int = 0
    next_try_at: datetime | None = None
    """If its run is so far by then; `None` when nothing follows."""
    last_error: str | None = None


@value
class NewRun:
    """A prompt's request, the same for all APIs."""

    prompt: str
    model: str | None = None
    """`provider:model`, a bare model id, or `None` for the default model."""
    system_prompt: str | None = None
    inherits_system_prompt: bool = True
    """Whether the conversation's applies where there is none."""
    conversation_id: str | None = None
    previous_run_id: str | None = None
    """The run that it follows, instead of the whole conversation; or that it follows
    nothing."""
    prior_messages: Sequence[Message] = ()
    """What was said before the prompt and is in no run: a client brings it along."""
    last_message: Message | None = None
    """The message that the prompt is, if it has more than a user's text."""
    parameters: Parameters = PLAIN
    max_tokens_name: MaxTokensName | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    end_user: str | None = None
    """Whom the client asks for: the id that its own user has there."""
    source: Source | None = None
    store: bool = True
    """Whether its texts are kept after its end."""
    is_read_later: bool = False
    """Whether its client reads the answer after its end."""
    notifications: Sequence[Notification] = ()
    check_followed: "Callable[[Sequence[Run]], None] | None" = None
    """Raises why it cannot follow what it follows, oldest first."""


@value
class Run:
    """The durable record of one attempt to answer one prompt."""

    id: str
    user_id: str
    api_key_id: str | None = None
    """The API key that it was asked with."""
    end_user: str | None = None
    """Whom the client asked for: the id that its own user has there."""
    source: Source | None = None
    """What it came through; `None` if an earlier version stored it."""
    status: RunStatus
    attempt: int
    """The fence: every write names it, so that a stale one changes nothing."""
    provider: str
    model: str
    """As the provider calls it."""
    prompt: str
    created_at: datetime
    response: str = ""
    """The text so far; all of it when the status is `succeeded`."""
    output: Sequence[Item] = ()
    """All that the model said, in its order; empty if that is the text alone."""
    common_length: int | None = None
    """
    How many characters are the same in every attempt's text (its tape).

    `None` while there was only one attempt. A client that read further than this in an
    earlier attempt has to be given the whole text again.
    """
    system_prompt: str | None = None
    conversation_id: str | None = None
    previous_run_id: str | None = None
    """The run that it follows, or `FOLLOWS_NOTHING`; `None` for the whole
    conversation."""
    prior_messages: Sequence[Message] = ()
    """What the client said to have been said right before the prompt."""
    last_message: Message | None = None
    """The message that the prompt is, if it has more than a user's text."""
    images: Sequence[Image] = ()
    """Those of the client's messages; from then on they are kept apart."""
    parameters: Parameters = PLAIN
    max_tokens_name: MaxTokensName | None = None
    """What the client called the limit; it is not stored."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    store: bool = True
    """Whether its texts are kept after its end."""
    resolved_model: str | None = None
    finish_reason: str | None = None
    usage: Usage = _NO_USAGE
    reservation: Reservation | None = None
    error_code: str | None = None
    error_detail: str | None = None
    failure: LlamaKeepError | None = field(default=None, compare=False, repr=False)
    """The error, only in the process where the run ended."""
    vectors: Sequence[Vector] = field(default=(), compare=False, repr=False)
    """Of its texts, if that is what it is for; only where it ended."""
    cancel_requested: bool = False
    handle: str | None = None
    """What finds the answer again at its provider, which has accepted the prompt."""
    started_at: datetime | None = None
    first_word_after: int | None = None
    """Microseconds from `created_at` until the model began to say something."""
    finished_at: datetime | None = None
    notifications: Sequence[Notification] = ()
    """What comes with a new run; from then on they are kept apart."""


_WITHOUT_TEXT = (
    "max_tokens",
    "min_tokens",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "parallel_tool_calls",
    "reasoning_effort",
    "verbosity",
    "logprobs",
    "top_logprobs",
    "truncation",
    "service_tier",
    "prompted_tools",
    "prompted_format",
    "route",
)
"""Parameters that have none of a client's texts."""


def without_texts(run: Run) -> Run:
    """Return a run as it stays if its texts are not kept."""
    return replace(
        run,
        prompt="",
        response="",
        output=(),
        common_length=None,
        system_prompt=None,
        prior_messages=(),
        last_message=None,
        images=(),
        parameters=Parameters(
            **{name: getattr(run.parameters, name) for name in _WITHOUT_TEXT}
        ),
        # A provider's error may cite what it was sent.
        error_detail=None,
    )


def brought_by(asked: NewRun | Run) -> Sequence[Message]:
    """Return the messages of a request, but for a prompt that is text alone."""
    last = asked.last_message
    return (*asked.prior_messages, *(() if last is None else (last,)))


def length_of(runs: Iterable[Run]) -> int:
    """Return how many characters runs have together, without prior messages."""
    length = 0
    for run in runs:
        length += len(run.prompt) + len(run.response) + len(run.system_prompt or "")
        for item in run.output:
            length += len(item.text)
            if isinstance(item, Text):
                length += len(item.logprobs or "")
            elif isinstance(item, Reasoning):
                length += len(item.sealed or "")
    return length


def whole_length_of(runs: Iterable[Run]) -> int:
    """Return how many characters runs have together."""
    length = 0
    for run in runs:
        length += length_of([run])
        for message in run.prior_messages:
            length += sum(map(len, message.texts))
    return length


def is_of_earlier(status: RunStatus, attempt: int, common_length: int | None) -> bool:
    """
    Return whether what is stored of an unfinished run is an earlier attempt's text.

    An attempt that writes text of its own writes how much of it is common, too.
    """
    if status is not RunStatus.PROCESSING:
        return True
    return attempt > 1 and common_length is None


def stored_position(run: Run) -> str | None:
    """Return where a reader of a run's stored text is; `None` if the run is over."""
    if run.status.is_final:
        return None
    length = len(run.response)
    if run.output:
        length = sum(len(item.text) for item in run.output) + len(run.output)
        length -= isinstance(run.output[0], Text)  # no mark is before it
    # Which earlier attempt wrote it makes no difference: it is not this one's.
    hidden = is_of_earlier(run.status, run.attempt, run.common_length)
    attempt = run.attempt - hidden
    return str(length) if attempt <= 1 else f"{length}@{attempt}"
