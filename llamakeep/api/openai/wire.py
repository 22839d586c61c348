"""JSON responses and headers of OpenAI's API."""

from http import HTTPStatus
from secrets import token_hex
from typing import Any

from fastapi import Response

from llamakeep.api.prompts.events import HEADERS
from llamakeep.schemas.json_text import to_json


def json_response(
    content: Any,
    status: int = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> Response:
    """Respond with JSON, without validation."""
    return Response(
        to_json(content),
        status,
        request_id() if headers is None else headers | request_id(),
        media_type="application/json",
    )


def stream_headers() -> dict[str, str]:
    """Return the headers of a stream of events."""
    return HEADERS | request_id()


def request_id() -> dict[str, str]:
    """Return the header with a new request id, which OpenAI's libraries expect."""
    return {"x-request-id": f"req_{token_hex(13)}"}
