"""Problem details of errors (RFC 9457)."""

from typing import Literal

from pydantic import AwareDatetime, Field
from pydantic.json_schema import SkipJsonSchema

from llamakeep.errors import (
    InvalidRequest,
    LimitReached,
    LlamaKeepError,
    PromptRejected,
    UnsupportedParameter,
)
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.json_text import to_json


class ReachedLimit(Body):
    """A limit that leaves less than the request needs."""

    name: str
    """`concurrent_runs`, `tokens_per_day`, …"""
    whose: Literal["user", "api_key", "server", "upstream", "alias"]
    subject: str | None
    """Which upstream or alias, if it is the limit of one."""
    limit: float
    left: float
    resets_at: AwareDatetime | None
    """When the limit's period starts again."""


class Problem(Body):
    """What went wrong, what was stored, and what to do (RFC 9457)."""

    type: str
    """A URN that names the kind of problem and never changes."""
    title: str
    """The same for all problems of this kind."""
    status: int
    detail: str
    """What happened this time."""
    run_id: str | None = None
    """The run in which the prompt is stored all the same."""
    errors: list[dict[str, str]] | None = None
    """The invalid fields of the request, each with a message."""
    limit: ReachedLimit | None = None
    """The limit that leaves too little."""
    param: SkipJsonSchema[str | None] = Field(default=None, exclude=True)
    provider_code: SkipJsonSchema[str | None] = Field(default=None, exclude=True)


def problem_of(error: LlamaKeepError) -> Problem:
    """Return the problem that describes `error`."""
    errors = None
    if isinstance(error, InvalidRequest) and error.errors:
        errors = [_shown(each.field, each.message) for each in error.errors]
    if isinstance(error, UnsupportedParameter) and error.parameters:
        errors = [_shown(each, error.title) for each in error.parameters]
    return Problem(
        type=urn(error.code),
        title=error.title,
        status=error.status,
        detail=_encodable(error.detail),
        run_id=error.run_id,
        errors=errors,
        limit=_reached_limit(error),
        param=error.param if isinstance(error, PromptRejected) else None,
        provider_code=(
            error.provider_code if isinstance(error, PromptRejected) else None
        ),
    )


def _shown(field: str, message: str) -> dict[str, str]:
    return {"field": _encodable(field), "message": _encodable(message)}


def _encodable(text: str) -> str:
    """Write out halves of surrogate pairs, which names of fields may have."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _reached_limit(error: LlamaKeepError) -> ReachedLimit | None:
    if not isinstance(error, LimitReached) or error.limit is None:
        return None
    return ReachedLimit.model_validate(error.limit, from_attributes=True)


def urn(code: str) -> str:
    """Return the problem type for an error's code."""
    return f"urn:llamakeep:problem:{code}"


def problem_json(problem: Problem) -> bytes:
    """Serialise a problem."""
    return to_json(problem, exclude_none=True)
