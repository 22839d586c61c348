"""Response bodies of runs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Request, Response
from pydantic import AwareDatetime, PlainSerializer

from llamakeep.api.history.highlights import Highlights
from llamakeep.api.http.streaming import Streaming, sent
from llamakeep.domain import Role, RunStatus, User
from llamakeep.domain.runs import Source
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.json_text import PIECE, gathered, in_pieces, to_json
from llamakeep.services import services_of

LONG = 4 * PIECE
"""Responses with more characters are sent in pieces."""

WholeSeconds = Annotated[
    datetime,
    PlainSerializer(lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"), return_type=str),
]


class UsageResponse(Body):
    """Tokens and cost of a run; `null` means that the provider did not report it."""

    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    """US dollars; `null` if the model's price is unknown."""
    cached_tokens: int | None
    """Those of the input that the provider had in its cache."""
    reasoning_tokens: int | None
    """Those of the output that were reasoning."""


class RunError(Body):
    """Why a run did not succeed."""

    type: str
    """The code of the problem, such as `provider-timeout`."""
    detail: str


class OutputItem(Body):
    """A text, reasoning, a refusal or a tool call of the model, or a tool's result."""

    type: Literal["text", "reasoning", "refusal", "tool_call", "tool_result"]
    text: str
    """Of a tool call: the arguments, as the model wrote them."""
    call_id: str | None = None
    """Of tool calls, and of their results."""
    name: str | None = None
    """The tool that is called."""
    has_failed: bool | None = None
    """Of a tool's result; only there if the tool failed."""
    logprobs: str | None = None
    """Of a text: how likely its tokens were, if that was asked for; a JSON list."""
    sealed: str | None = None
    """Of reasoning: what its server wants back as it came, such as a signature."""


class ImagePart(Body):
    """An image, which is kept here, or has an address elsewhere."""

    type: Literal["image"]
    sha256: str | None = None
    """Of its bytes."""
    media_type: str | None = None
    size: int | None = None
    """In bytes."""
    link: str | None = None
    """The path of its bytes on this server, if they are kept."""
    url: str | None = None
    """Its address, if they are not."""
    detail: str | None = None
    """How exactly the model is to look at it, if the client said so."""


class PromptMessage(Body):
    """A message that is more than text."""

    role: Role
    content: str
    """Its text."""
    name: str | None = None
    parts: list[OutputItem | ImagePart] | None = None
    """All parts, in their order, if there is more than text."""


class PassedModel(Body):
    """A model that did not answer."""

    model: str
    reason: str
    """The code of an error, or `circuit-open`: why the next one was asked."""
    was_asked: bool
    """Whether it was sent the prompt, or that was tried; nothing was paid there."""


class Route(Body):
    """The way of a prompt to an alias; `model` is the one that was asked last."""

    alias: str
    passed: list[PassedModel]
    """In their order."""
    left: list[str]
    """Those that would have been asked next."""


class PromptResponse(Body):
    """A run: the model's response, and how it came about."""

    response: str
    id: str
    """The run's id in the history."""
    status: RunStatus
    model: str
    resolved_model: str | None
    """The exact model that the provider says it used."""
    conversation_id: str
    """Send it with the next prompt to continue the conversation."""
    previous_run_id: str | None
    """
    The run that it follows; `none` if it follows nothing, `null` if it follows all that
    was answered before in its conversation.
    """
    finish_reason: str | None
    usage: UsageResponse
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    first_word_at: AwareDatetime | None
    """When the model began to say something; `null` if it has not, or is not known."""
    finished_at: AwareDatetime | None
    error: RunError | None
    output: list[OutputItem] | None
    """All that the model said, in its order, if that is not the response alone."""
    store: bool
    """Whether its texts are kept; if not, they are empty once the run has ended."""
    source: Source | None
    """What it came through; `null` if an earlier version stored it."""
    route: Route | None = None
    """Only there if an alias was asked: what was tried before, and why it failed."""


class TextSizes(Body):
    """Bytes of a run's whole texts."""

    prompt: int
    response: int
    system_prompt: int | None


class HistoryItem(PromptResponse):
    """A run with its prompt."""

    timestamp: WholeSeconds
    prompt: str
    position: str | None
    """
    Where a reader of this response is, which follows the run from there; `null` if the
    run has ended.
    """
    system_prompt: str | None
    parameters: dict[str, Any]
    """Left out (`{}`) where `text` asks for beginnings."""
    metadata: dict[str, str]
    end_user: str | None
    """Whom the client asked for."""
    last_message: PromptMessage | None
    """The message that the prompt is, if it has more than a user's text."""
    sizes: TextSizes | None = None
    """Only there where `text` asks for beginnings."""
    is_cut: bool | None = None
    """Only there with `text`: whether texts or items have more than is here."""


class HistoryResponse(Body):
    """A page of the history, newest first."""

    history: list[HistoryItem]
    next_cursor: str | None
    """Send it as `cursor` to get the page after this one; `null` on the last page."""
    previous_cursor: str | None
    """Send it as `cursor` to get the page before this one; `null` on the first page."""
    highlights: dict[str, Highlights] | None
    """With `q`, the passages that match, by the run's id."""
    titles: dict[str, str] | None = None
    """Only there with `titles`: of the runs' conversations, by their ids."""


def shown_response(facts: dict[str, Any]) -> Response:
    """Respond with what `shown` or `shown_in_history` returned."""
    return Response(to_json(facts), media_type="application/json")


def long_response(
    request: Request, user: User, facts: dict[str, Any], length: int
) -> Response:
    """
    Respond with `facts`, in pieces if `length` is large.

    Raises:
        TooManyReaders: The user has too many long responses open.
    """
    if length <= LONG:
        return shown_response(facts)
    pieces = sent(gathered(in_pieces(facts)))
    end = services_of(request).readers.begin(user.id, length)
    return Streaming(pieces, end=end, media_type="application/json")
