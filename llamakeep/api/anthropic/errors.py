"""Errors in Anthropic's format, with Anthropic's status codes and types."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

from fastapi import Response

from llamakeep import errors
from llamakeep.api.anthropic.wire import REQUEST_ID, json_response
from llamakeep.api.http.problems import ACCEPTING
from llamakeep.api.http.vendors import (
    PROMPT_ERRORS,
    forbid_retry,
    message_of,
    responses_of,
    status_of,
)
from llamakeep.logs.context import request_id
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.problem import Problem, problem_of, urn

OVERLOADED = 529
"""Anthropic's status code of a server that has too much to do."""

_TYPES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.PAYMENT_REQUIRED: "billing_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.CONFLICT: "conflict_error",
    errors.BodyTooLarge.status: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
    HTTPStatus.GONE: "api_error",
    OVERLOADED: "overloaded_error",
}
"""By status code; others are the client's (4xx) or this server's."""
NO_THREADS = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
"""Has the tool runner of Anthropic's library send all that was said, as others do."""
_BUSY = {urn(errors.ServerBusy.code), urn(errors.ServerStopping.code)}


class AnthropicErrorBody(Body):
    """What went wrong, what was stored, and what to do."""

    type: str
    message: str
    details: dict[str, Any] | None = None
    """Only for the tool runner of Anthropic's library."""


class AnthropicError(Body):
    """The body of an error in Anthropic's format."""

    type: Literal["error"]
    error: AnthropicErrorBody
    request_id: str | None


def render(problem: Problem, headers: dict[str, str], prefix: str) -> Response:
    """Respond with a problem in Anthropic's format."""
    forbid_retry(problem, headers)
    own_id = headers[REQUEST_ID] = request_id()
    body = envelope(problem, prefix, own_id)
    return json_response(body, _status(problem), headers)


def error_of(
    error: errors.LlamaKeepError, prefix: str, request_id: str
) -> dict[str, Any]:
    """Return the event of an error in the middle of a stream."""
    return envelope(problem_of(error), prefix, request_id)


def envelope(problem: Problem, prefix: str, request_id: str) -> dict[str, Any]:
    """Return the body of an error in Anthropic's format."""
    error: dict[str, Any] = {
        "type": _type(_status(problem)),
        "message": message_of(problem, prefix),
    }
    if any(wrong["field"] == "thread" for wrong in problem.errors or ()):
        error["details"] = NO_THREADS
    return {"type": "error", "error": error, "request_id": request_id}


def error_responses(*known: type[errors.LlamaKeepError]) -> dict[int | str, Any]:
    """Return the OpenAPI responses for a route's errors."""
    return responses_of(known, AnthropicError)


MESSAGE_ERRORS = error_responses(*PROMPT_ERRORS)
"""The errors of the route that accepts messages."""
COUNTING_ERRORS = error_responses(
    *ACCEPTING, errors.ProviderError, errors.ProviderTimeout
)


def _status(problem: Problem) -> int:
    return OVERLOADED if problem.type in _BUSY else status_of(problem)


def _type(status: int) -> str:
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return _TYPES.get(status, "api_error" if is_ours else "invalid_request_error")
