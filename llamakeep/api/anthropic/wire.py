"""JSON responses and headers of Anthropic's API."""

from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from llamakeep.api.prompts.events import HEADERS
from llamakeep.logs.context import request_id
from llamakeep.schemas.json_text import to_json

VERSION = "anthropic-version"
"""The header that all of Anthropic's clients send."""
REQUEST_ID = "request-id"


def is_meant(request: Request) -> bool:
    """Return whether a request below `/v1/` is one of Anthropic's API."""
    is_own = request.url.path.startswith("/v1/messages")
    return is_own or VERSION in request.headers


def json_response(
    content: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    """Respond with JSON, without validation."""
    headers = headers or {}
    headers.setdefault(REQUEST_ID, request_id())
    return Response(to_json(content), status, headers, media_type="application/json")


def stream_headers(own_id: str) -> dict[str, str]:
    """Return the headers of a stream of events, with the request's id."""
    return HEADERS | {REQUEST_ID: own_id}
