"""
Errors in Replicate's format.

Status codes are those of this server's own API. Replicate's Python library retries only
requests that create nothing, and its JavaScript library retries on 429, when nothing
was stored.
"""

from typing import Any

from fastapi import Response

from llamakeep.api.http.problems import FIELD_MISSING, FIELD_UNKNOWN
from llamakeep.api.replicate.schemas import WRITTEN
from llamakeep.errors import (
    InvalidRequest,
    ModelNotFound,
    Unauthenticated,
    UnknownModel,
    UnsupportedParameter,
)
from llamakeep.schemas.json_text import to_json
from llamakeep.schemas.problem import Problem, urn

_INVALID = urn(InvalidRequest.code)
_UNSUPPORTED = urn(UnsupportedParameter.code)

TITLES = {
    urn(Unauthenticated.code): "Unauthenticated",
    _INVALID: "Input validation failed",
    _UNSUPPORTED: "Input validation failed",
    urn(UnknownModel.code): "Invalid version or not permitted",
    urn(ModelNotFound.code): "Invalid version or not permitted",
}
"""Replicate's titles; others are this server's own."""

KINDS = {
    FIELD_MISSING: "required",
    FIELD_UNKNOWN: "additional_property_not_allowed",
}
"""Error types of gojsonschema, with which Replicate validates fields."""


def render(problem: Problem, headers: dict[str, str], _: str) -> Response:
    """Respond with a problem in Replicate's format."""
    body: dict[str, Any] = {
        "type": problem.type,
        "title": TITLES.get(problem.type, problem.title),
        "detail": problem.detail,
        "status": problem.status,
    }
    if problem.errors:
        wrong = [_invalid_field(problem, each) for each in problem.errors]
        body["invalid_fields"] = wrong
        if problem.type == _INVALID:
            body["detail"] = "".join(
                f"- {each['field']}: {each['description']}\n" for each in wrong
            )
    if problem.limit is not None:
        body["limit"] = problem.limit.model_dump(mode="json")
    if "Retry-After" in headers:
        body["retry_after"] = int(headers["Retry-After"])
    return Response(
        to_json(body), problem.status, headers, media_type="application/problem+json"
    )


def _invalid_field(problem: Problem, error: dict[str, str]) -> dict[str, str]:
    field, message = error["field"], error["message"]
    if problem.type == _UNSUPPORTED:
        field = f"input.{WRITTEN.get(field, field)}"
    return {
        "type": KINDS.get(message, "invalid"),
        "field": field,
        "description": message,
    }
