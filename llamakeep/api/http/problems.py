"""Error responses: problem details (RFC 9457)."""

import logging
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from llamakeep import errors
from llamakeep.api.http.json_bodies import is_json
from llamakeep.api.http.links import prefix_of
from llamakeep.errors import (
    UNREAD,
    BodyTooLarge,
    FieldError,
    InvalidRequest,
    LlamaKeepError,
    MalformedBody,
    StorageUnavailable,
)
from llamakeep.errors.wording import MISSING, UNKNOWN, path_of, wording_of
from llamakeep.http.methods import HeadAndOptions
from llamakeep.http.security_headers import HEADERS
from llamakeep.logs.context import request_id
from llamakeep.schemas.problem import Problem, problem_json, problem_of, urn
from llamakeep.services import services_of

log = logging.getLogger(__name__)

_ID = re.compile("[a-z]+[_-][0-9a-z]{26}")

FIELD_MISSING = MISSING
FIELD_UNKNOWN = UNKNOWN
PARAMETER_EMPTY = "It is empty. Give it a value, or leave it out."
MOST_ERRORS = 100
"""
How many invalid fields of a request are named. They are compared with each other, and a
body of 2 MB may have hundreds of thousands.
"""


ACCEPTING = (
    errors.MalformedBody,
    errors.Unauthenticated,
    errors.ScopeMissing,
    errors.BodyTooLarge,
    errors.ContextTooLarge,
    errors.InvalidRequest,
    errors.UnknownModel,
    errors.UnsupportedParameter,
    errors.IdempotencyKeyReused,
    errors.RateLimited,
    errors.TooManyWaiting,
    errors.TooManyRuns,
    errors.QuotaExceeded,
    errors.PriceUnknown,
    errors.ServerBusy,
)
"""Errors of all routes that accept prompts."""

ANSWERING = (
    *ACCEPTING,
    errors.ModelNotFound,
    errors.RunCanceled,
    errors.PromptRejected,
    errors.ProviderError,
    errors.ProviderTimeout,
)
"""Errors of routes that also wait for the answer."""


def problem_responses(*errors: type[LlamaKeepError]) -> dict[int | str, Any]:
    """Return the OpenAPI responses for a route's errors."""
    titles: dict[int | str, list[str]] = {}
    for error in errors:
        titles.setdefault(int(error.status), []).append(error.title)
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {
            "model": Problem,
            "description": " ".join(known),
            "content": {"application/problem+json": schema},
        }
        for status, known in titles.items()
    }


async def render_error(request: Request, error: Exception) -> Response:
    """Respond to a `LlamaKeepError`."""
    assert isinstance(error, LlamaKeepError)
    # Storage logs its own errors, once for many requests.
    if error.__cause__ is not None and not isinstance(error, StorageUnavailable):
        log.log(error.log_level, "%s", error.code, exc_info=error)
    headers = {}
    if error.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = f"{max(1, -(-error.retry_after // 1)):.0f}"
    return _response(request, problem_of(error), headers)


async def render_validation_error(request: Request, error: Exception) -> Response:
    """Respond with the invalid fields, but never their values, which may be secret."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    for one in found:
        if one["type"] == "json_invalid":
            reason = one.get("ctx", {}).get("error", "it cannot be parsed")
            return await render_error(
                request,
                MalformedBody(
                    f"The body is not valid JSON: {reason}. Nothing was stored."
                ),
            )
    named = list(_merged(_field_error(request, e) for e in found[:MOST_ERRORS]))
    if len(found) > MOST_ERRORS:
        more = len(found) - MOST_ERRORS
        named.append(FieldError("body", f"There are {more} more errors like these."))
    return await render_error(request, InvalidRequest(errors=named))


async def render_http_error(request: Request, error: Exception) -> Response:
    """Respond to Starlette's errors: wrong path or method, body too large, no JSON."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.METHOD_NOT_ALLOWED and _is_unknown(request):
        status = HTTPStatus.NOT_FOUND
    if status == BodyTooLarge.status:
        return await render_error(request, _body_too_large(request))
    if status == MalformedBody.status:
        return await render_error(request, _malformed_body(request, error.__cause__))
    prefix = prefix_of(request)
    detail = {
        HTTPStatus.NOT_FOUND: (
            f"There is nothing at {prefix}{request.url.path}. See {prefix}/docs."
        ),
        HTTPStatus.METHOD_NOT_ALLOWED: (
            f"{request.method} is not possible at {prefix}{request.url.path}; see the "
            "header Allow."
        ),
    }.get(status, str(error.detail))
    problem = Problem(
        type=urn(status.phrase.lower().replace(" ", "-")),
        title=status.phrase,
        status=status,
        detail=detail,
    )
    headers = dict(error.headers or {})
    headers.pop("Allow", None)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return _response(request, problem, headers)


async def render_bug(request: Request, error: Exception) -> Response:
    """Respond to an unexpected error with a 500 that reveals nothing of it."""
    return _response(
        request,
        Problem(
            type=urn("internal-error"),
            title="Something went wrong in the server.",
            status=HTTPStatus.INTERNAL_SERVER_ERROR,
            detail="This is a bug. The server's log says more.",
        ),
        # This response does not pass the middleware that adds these.
        HEADERS | {"x-request-id": request_id()},
    )


def _response(request: Request, problem: Problem, headers: dict[str, str]) -> Response:
    render = services_of(request).dialect_of(request)
    if render is not None:
        return render(problem, headers, prefix_of(request))
    return Response(
        problem_json(problem),
        problem.status,
        headers,
        media_type="application/problem+json",
    )


def _is_unknown(request: Request) -> bool:
    """Return whether an id in a path of OpenAI's API cannot be one of this server's."""
    return request.url.path.startswith("/v1/") and any(
        name.endswith("_id") and not _ID.fullmatch(value)
        for name, value in request.path_params.items()
    )


def _allowed_methods(request: Request) -> Sequence[str]:
    # Starlette's error names the methods of only one of the path's routes.
    return HeadAndOptions(request.app.router).methods_of(request.scope)


def _body_too_large(request: Request) -> BodyTooLarge:
    settings = services_of(request).settings
    limit = settings.max_body_size.human_readable()
    images = settings.max_images_size.human_readable()
    return BodyTooLarge(
        f"The body may have {limit}, and the images of a prompt {images} more. "
        f"{UNREAD} Send less, or raise LLAMAKEEP_MAX_BODY_SIZE or "
        "LLAMAKEEP_MAX_IMAGES_SIZE."
    )


def _malformed_body(request: Request, cause: BaseException | None) -> MalformedBody:
    if isinstance(cause, RecursionError):
        return MalformedBody("The body is nested too deeply. Nothing was stored.")
    if not isinstance(cause, UnicodeError):
        return MalformedBody(
            "The body has a number of thousands of digits. Nothing was stored."
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        return MalformedBody(
            "The body is compressed, which this server does not read. Nothing was "
            "stored. Send it as it is, without the header Content-Encoding."
        )
    return MalformedBody(
        "The body is not JSON in UTF-8. Nothing was stored. Send it in that encoding."
    )


def _merged(errors: Iterable[FieldError]) -> Sequence[FieldError]:
    """Return one error for each field: a union's members report one each."""
    messages: dict[str, str] = {}
    for error in errors:
        before, has_to = messages.get(error.field), "It has to be "
        if before is None or not error.message.startswith(has_to):
            messages[error.field] = error.message
        elif before != error.message:
            other = error.message.removeprefix(has_to)
            messages[error.field] = f"{before.rstrip('.')}, or {other}"
    return [
        FieldError(field, message)
        for field, message in messages.items()
        if not any(other.startswith(f"{field}.") for other in messages)
    ]


def _field_error(request: Request, error: dict[str, Any]) -> FieldError:
    where, *path = path_of(error["loc"])
    field = ".".join(path) if where == "body" else ".".join([where, *path])
    if where == "body" and not path:
        if error["type"] == "string_unicode":  # in a key, or the body is one string
            return FieldError("body", wording_of(error))
        message = "Send a JSON object"
        if request.url.path.rstrip("/").endswith("/prompt"):
            message += ', such as `{"prompt": "…"}`'
        if not is_json(request.headers.get("content-type", "")):
            message += ", with the header `Content-Type: application/json`"
        return FieldError("body", message + ".")
    return FieldError(field, wording_of(error))
