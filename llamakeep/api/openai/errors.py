"""
Errors in OpenAI's format, with OpenAI's status codes.

OpenAI's libraries choose their exception by the status code.
"""

import re
from http import HTTPStatus
from typing import Any

from fastapi import Response

from llamakeep import errors
from llamakeep.api.http.problems import FIELD_MISSING, FIELD_UNKNOWN
from llamakeep.api.http.vendors import (
    PROMPT_ERRORS,
    forbid_retry,
    message_of,
    responses_of,
    status_of,
)
from llamakeep.api.openai.wire import json_response
from llamakeep.engine.refusals import MODEL_MISSING
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.problem import Problem, problem_of, urn

PREVIOUS_NOT_FOUND = (
    "There is no such response in your history to continue. Nothing was stored."
)
"""The error of an unknown `previous_response_id`."""

PARAMETER_UNKNOWN = (
    "There is no such parameter here. Leave it out; or, if a server that "
    "LLAMAKEEP_OPENAI_BASE_URL names knows it, add it to LLAMAKEEP_OPENAI_EXTRA_FIELDS."
)
"""The error of an unknown parameter of a prompt."""

CODES = {
    urn(errors.UnknownModel.code): "model_not_found",
    urn(errors.ContextTooLarge.code): "context_length_exceeded",
    urn(errors.Unauthenticated.code): "invalid_api_key",
    urn(errors.ProviderRateLimited.code): "rate_limit_exceeded",
    urn(errors.TooManyRuns.code): "rate_limit_exceeded",
    urn(errors.QuotaExceeded.code): "insufficient_quota",
    urn(errors.RateLimited.code): "rate_limit_exceeded",
    urn(errors.TooManyWaiting.code): "rate_limit_exceeded",
    urn("not-found"): "unknown_url",
    FIELD_MISSING: "missing_required_parameter",
    MODEL_MISSING: "missing_required_parameter",
    FIELD_UNKNOWN: "unknown_parameter",
    PARAMETER_UNKNOWN: "unknown_parameter",
    PREVIOUS_NOT_FOUND: "previous_response_not_found",
}
"""OpenAI's error codes; others are this server's own, with underscores."""

_MODELS_UNKNOWN = {urn(errors.UnknownModel.code), urn(errors.ModelNotFound.code)}
_REJECTED = urn(errors.PromptRejected.code)
_INVALID = urn(errors.InvalidRequest.code)
_INDEX = re.compile(r"\.(\d+)(?=\.|$)")


class ErrorBody(Body):
    """What went wrong, what was stored, and what to do."""

    message: str
    type: str
    param: str | None
    """The invalid parameter."""
    code: str | None


class ErrorResponse(Body):
    """The body of an error in OpenAI's format."""

    error: ErrorBody


def render(problem: Problem, headers: dict[str, str], prefix: str) -> Response:
    """Respond with a problem in OpenAI's format."""
    forbid_retry(problem, headers)
    return json_response(envelope(problem, prefix), status_of(problem), headers)


def error_of(error: errors.LlamaKeepError, prefix: str) -> dict[str, Any]:
    """Return the body of an error in the middle of a stream."""
    return envelope(problem_of(error), prefix)


def envelope(problem: Problem, prefix: str) -> dict[str, Any]:
    """Return the body of an error in OpenAI's format."""
    wrong = problem.errors[0] if problem.errors else None
    param = None
    if wrong is not None:
        param = _param(wrong["field"])
    elif problem.type in _MODELS_UNKNOWN:
        param = "model"
    else:
        param = problem.param
    code = CODES.get(problem.type)
    if problem.type == _REJECTED:
        code = problem.provider_code
    if wrong is not None and problem.type == _INVALID:
        code = CODES.get(wrong["message"], "invalid_value")
    if code is None:
        code = problem.type.rpartition(":")[2].replace("-", "_")
    return {
        "error": {
            "message": _message(problem, prefix),
            "type": _type(status_of(problem)),
            "param": param,
            "code": code,
        }
    }


def error_responses(*known: type[errors.LlamaKeepError]) -> dict[int | str, Any]:
    """Return the OpenAPI responses for a route's errors."""
    return responses_of(known, ErrorResponse)


COMPLETION_ERRORS = error_responses(*PROMPT_ERRORS)


def _type(status: int) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "requests"
    is_ours = status == HTTPStatus.GONE or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return "server_error" if is_ours else "invalid_request_error"


def _message(problem: Problem, prefix: str) -> str:
    if problem.type == _INVALID and problem.errors:
        return " ".join(f"{_param(e['field'])}: {e['message']}" for e in problem.errors)
    return message_of(problem, prefix)


def _param(field: str) -> str:
    """Format a field as OpenAI does: `messages[0].content`."""
    return _INDEX.sub(r"[\1]", field.removeprefix("query.").removeprefix("header."))
