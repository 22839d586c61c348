"""
Errors as Replicate's clients know them.

Its library for Python raises what it finds as `title`, `detail` and `status`, and asks
again by itself only what creates nothing; the one for JavaScript asks again at 429. So
every status can stay what it is: nothing of a refused prompt was stored.
"""

from typing import Any

from fastapi import Response

from llamakeep.api.http.json_text import to_json
from llamakeep.api.http.problems import FIELD_MISSING, FIELD_UNKNOWN, Problem, urn
from llamakeep.api.replicate.schemas import WRITTEN
from llamakeep.errors import (
    InvalidRequest,
    ModelNotFound,
    Unauthenticated,
    UnknownModel,
    UnsupportedParameter,
)

_INVALID = urn(InvalidRequest.code)
_UNSUPPORTED = urn(UnsupportedParameter.code)

TITLES = {
    urn(Unauthenticated.code): "Unauthenticated",
    _INVALID: "Input validation failed",
    _UNSUPPORTED: "Input validation failed",
    urn(UnknownModel.code): "Invalid version or not permitted",
    urn(ModelNotFound.code): "Invalid version or not permitted",
}
"""What Replicate calls it; everything else keeps our own words."""

KINDS = {
    FIELD_MISSING: "required",
    FIELD_UNKNOWN: "additional_property_not_allowed",
}
"""What gojsonschema, which looks at fields for Replicate, calls what is wrong."""


def render(problem: Problem, headers: dict[str, str], _: str) -> Response:
    """Answer with a problem, as Replicate's libraries read it."""
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
