"""How answers of OpenAI's API are sent, whatever is in them."""

from http import HTTPStatus
from secrets import token_hex
from typing import Any

from fastapi import Response

from llamakeep.api.http.json_text import to_json


def json_response(
    content: Any,
    status: int = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> Response:
    """Answer with JSON that needs no validation."""
    return Response(
        to_json(content),
        status,
        request_id() if headers is None else headers | request_id(),
        media_type="application/json",
    )


def stream_headers() -> dict[str, str]:
    """Return the headers of a stream of events."""
    return {"Cache-Control": "no-store", "X-Accel-Buffering": "no"} | request_id()


def request_id() -> dict[str, str]:
    """Return the header by which a client tells somebody else which request it was."""
    return {"x-request-id": f"req_{token_hex(13)}"}
