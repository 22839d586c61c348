"""What the tests of Anthropic's API share: requests, and reading answers."""

import json
from typing import Any

import httpx2

MESSAGES = "/v1/messages"
HI: dict[str, Any] = {
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Hi"}],
}
STREAM = HI | {"stream": True}


def events(response: httpx2.Response) -> list[dict[str, Any]]:
    """Return the events of a stream without its pings."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["request-id"].startswith("req_")
    found: list[dict[str, Any]] = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return [event for event in found if event != {"type": "ping"}]


def error(response: httpx2.Response) -> dict[str, Any]:
    """Return what went wrong."""
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["request-id"]
    assert body["error"].keys() - {"details"} == {"type", "message"}
    found: dict[str, Any] = body["error"]
    return found


def gathered(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message that a stream's events make."""
    message: dict[str, Any] = found[0]["message"]
    arguments: dict[int, str] = {}
    is_open = False
    for event in found[1:-1]:
        match event:
            case {"type": "content_block_start"}:
                assert not is_open
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
                is_open = True
            case {"delta": {"type": "input_json_delta", "partial_json": text}}:
                index = event["index"]
                arguments[index] = arguments.get(index, "") + text
            case {"delta": {"type": str(kind), **rest}}:
                [(name, text)] = rest.items()
                assert kind == f"{name}_delta"
                message["content"][event["index"]][name] += text
            case {"type": "content_block_stop"}:
                assert event["index"] == len(message["content"]) - 1
                is_open = False
            case {"type": "message_delta"}:
                message |= event["delta"]
                message["usage"] |= event["usage"]
    assert not is_open
    for index, text in arguments.items():
        message["content"][index]["input"] = json.loads(text)
    assert found[-1] == {"type": "message_stop"}
    return message
