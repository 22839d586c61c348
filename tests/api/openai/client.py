"""What the tests of OpenAI's API share: requests, and reading answers."""

import json
from typing import Any

import httpx2

from llamakeep.api.http import sse

CHAT = "/v1/chat/completions"
KEEP_ALIVE = sse.KEEP_ALIVE.decode().rstrip()
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
STREAM = HI | {"stream": True}


def events(response: httpx2.Response, *, may_be_silent: bool = False) -> list[Any]:
    """
    Return the events of a stream; the last one is `[DONE]` or an error.

    Args:
        response: The stream.
        may_be_silent: Whether there may be signs of life that are no events.
    """
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    found: list[Any] = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        if may_be_silent and block == KEEP_ALIVE:
            continue
        assert block.startswith("data: ")
        data = block.removeprefix("data: ")
        found.append(data if data == "[DONE]" else json.loads(data))
    return found


def error(response: httpx2.Response) -> dict[str, Any]:
    """Return what went wrong."""
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    body: dict[str, Any] = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    found: dict[str, Any] = body["error"]
    return found
