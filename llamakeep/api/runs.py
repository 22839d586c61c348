"""Runs as clients see them."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import Response
from pydantic import AwareDatetime, BaseModel, PlainSerializer
from pydantic_core import to_json

from llamakeep.api.highlights import Highlights
from llamakeep.domain import Run, RunStatus

WholeSeconds = Annotated[
    datetime,
    PlainSerializer(lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"), return_type=str),
]


class UsageResponse(BaseModel):
    """What a completion took; `null` means that the provider did not say."""

    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    """US dollars; `null` where the model's price is not known."""


class RunError(BaseModel):
    """Why a run did not succeed."""

    type: str
    """The code of the problem, such as `provider-timeout`."""
    detail: str


class PromptResponse(BaseModel):
    """What answers a prompt."""

    response: str
    id: str
    """The run, in the history."""
    status: RunStatus
    model: str
    resolved_model: str | None
    """The exact model that the provider says it used."""
    conversation_id: str
    """Send it with the next prompt to go on."""
    finish_reason: str | None
    usage: UsageResponse
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    error: RunError | None

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return how `run` looks to its owner."""
        return cls.model_construct(**_facts(run))


class HistoryItem(PromptResponse):
    """A prompt and what became of it."""

    timestamp: WholeSeconds
    prompt: str
    system_prompt: str | None
    parameters: dict[str, Any]
    metadata: dict[str, str]

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return how `run` looks to its owner, with what was asked."""
        return cls.model_construct(
            timestamp=run.created_at,
            prompt=run.prompt,
            system_prompt=run.system_prompt,
            parameters=run.parameters.given(),
            metadata=dict(run.metadata),
            **_facts(run),
        )


class HistoryResponse(BaseModel):
    """A page of the history, newest first."""

    history: list[HistoryItem]
    next_cursor: str | None
    """Send it as `cursor` to get the page after this one; `null` on the last page."""
    previous_cursor: str | None
    """Send it as `cursor` to get the page before this one; `null` on the first page."""
    highlights: dict[str, Highlights] | None
    """With `q`, the places that were found, by the run's id."""


def model_name(run: Run) -> str:
    """Return the model with its provider, as a prompt may name it."""
    return f"{run.provider}:{run.model}"


def run_response(run: PromptResponse | HistoryResponse) -> Response:
    """Answer with values that come from storage, and so need no second validation."""
    return Response(to_json(run), media_type="application/json")


def _facts(run: Run) -> dict[str, Any]:
    error = None
    if run.error_code is not None:
        error = RunError.model_construct(
            type=run.error_code, detail=run.error_detail or ""
        )
    return {
        "response": run.response,
        "id": run.id,
        "status": run.status,
        "model": model_name(run),
        "resolved_model": run.resolved_model,
        "conversation_id": run.conversation_id,
        "finish_reason": run.finish_reason,
        "usage": UsageResponse.model_construct(
            input_tokens=run.usage.input_tokens,
            output_tokens=run.usage.output_tokens,
            cost_usd=None if run.usage.cost is None else float(run.usage.cost),
        ),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error": error,
    }
