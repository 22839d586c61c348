"""JSON responses and headers of OpenAI's API."""

from http import HTTPStatus
from typing import Any

from fastapi import Response

from llamakeep.api.http import sse
from llamakeep.schemas.json_text import to_json

DONE = sse.encode(b"[DONE]")
"""The last event of a stream of chunks."""


def json_response(
    content: Any,
    status: int = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> Response:
    """Respond with JSON, without validation."""
    return Response(to_json(content), status, headers, media_type="application/json")
