"""An OpenAI-compatible server whose model calls tools, reasons and refuses."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from typing import Any

from tests.threaded import serving

MODEL = "caller"
_CITY = re.compile("Oslo|Bergen|San Francisco")
SIGNED = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
"""What has to be handed back with a call."""
_CHARACTERS = 7
"""How many characters a chunk has at most."""


@dataclass
class Upstream:
    """
    A server at `url`.

    Its model calls `get_weather` for each city in the user's message, says what the
    results are, fills in forms with Ada, refuses what has the word "bomb", and thinks
    before it does so, if it `is_thinking`. It says how likely its tokens are if it is
    asked, and wants its signature back if the user wants it signed. It counts images,
    but when it is told to wait, does so first until `may_answer`. In vectors, it says
    how long texts are.
    """

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of all requests, in order."""
    is_thinking: bool = True
    may_answer: threading.Event = field(default_factory=threading.Event)
    will_stall: bool = False
    """Whether the next arguments of a call break off, until it `may_answer`."""
    is_stalled: threading.Event = field(default_factory=threading.Event)

    def deltas(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what the model says, without the finish reason."""
        self.asked.append(body)
        messages = body["messages"]
        last = messages[-1]
        yield {"role": "assistant", "content": ""}
        if last["role"] == "tool":
            results = takewhile(lambda one: one["role"] == "tool", reversed(messages))
            said = " and ".join(reversed([one["content"] for one in results]))
            yield from _pieces("content", f"It is {said}.")
            return
        if isinstance(last["content"], list):
            said = json.dumps([part.get("text") for part in last["content"]])
            if "Wait" in said:
                self.may_answer.wait()
            images = [part for part in last["content"] if "image_url" in part]
            yield from _pieces("content", f"I see {len(images)}.")
            return
        if self.is_thinking:
            yield from _pieces("reasoning_content", f"They say: {last['content']}")
        if "bomb" in last["content"]:
            yield from _pieces("refusal", "I cannot help with that.")
        elif body.get("response_format"):
            yield from _pieces("content", '{"name": "Ada", "age": 36}')
        elif body.get("tools"):
            for index, city in enumerate(_CITY.findall(last["content"])):
                is_signed = not index and "signed" in last["content"]
                yield from _call(index, city, SIGNED if is_signed else {})
        else:
            yield from _pieces("content", "Hello.")

    def stall_in(self, delta: dict[str, Any]) -> None:
        """Say no more for a while, if a delta begins arguments and that is wanted."""
        calls = delta.get("tool_calls") or ()
        if self.will_stall and any(one["function"]["arguments"] for one in calls):
            self.will_stall = False
            self.is_stalled.set()
            self.may_answer.wait()

    def break_off(self) -> None:
        """Let the next call of a tool break off in its arguments."""
        self.may_answer.clear()
        self.is_stalled.clear()
        self.will_stall = True


@contextmanager
def open_upstream(kind: type[Upstream] = Upstream) -> Iterator[Upstream]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send("application/json", _json({"data": [{"id": MODEL}]}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path.endswith("/embeddings"):
                self._send("application/json", _json(_vectors_of(body["input"])))
                return
            deltas = upstream.deltas(body)
            if upstream.will_stall:
                self._stream(body, deltas)
                return
            said = b"".join(
                b"data: %b\n\n" % _json(one) for one in _events(body, deltas)
            )
            self._send("text/event-stream", said + b"data: [DONE]\n\n")

        def _stream(
            self, body: dict[str, Any], deltas: Iterator[dict[str, Any]]
        ) -> None:
            """Send each event by itself, to a client that may go away."""
            self.close_connection = True
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            with suppress(OSError):
                for event in _events(body, deltas):
                    self.wfile.write(b"data: %b\n\n" % _json(event))
                    for choice in event["choices"]:
                        upstream.stall_in(choice["delta"])
                self.wfile.write(b"data: [DONE]\n\n")

        def _send(self, media_type: str, content: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    upstream = kind(f"http://127.0.0.1:{server.server_port}/v1")
    with serving(server):
        yield upstream


_USAGE = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}


def _events(
    body: dict[str, Any], deltas: Iterator[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    reason = "stop"
    for delta in deltas:
        reason = "tool_calls" if "tool_calls" in delta else reason
        yield _chunk(delta, others=likely_others(body))
    yield _chunk({}, reason)
    yield {"choices": [], "usage": _USAGE}


def _vectors_of(texts: str | list[str]) -> dict[str, Any]:
    lengths = [len(one) for one in ([texts] if isinstance(texts, str) else texts)]
    data = [
        {"object": "embedding", "index": index, "embedding": [float(length), 0.5]}
        for index, length in enumerate(lengths)
    ]
    usage = {"prompt_tokens": 20, "total_tokens": 20}
    return {"object": "list", "data": data, "model": MODEL, "usage": usage}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def likely_others(body: dict[str, Any]) -> int | None:
    """Return how many other tokens are asked for, if any logprobs are."""
    return (body.get("top_logprobs") or 0) if body.get("logprobs") else None


def _chunk(
    delta: dict[str, Any], reason: str | None = None, others: int | None = None
) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    if others is not None and delta.get("content"):
        choice["logprobs"] = {"content": [likely(delta["content"], others)]}
    return {"model": MODEL, "choices": [choice]}


def likely(token: str, others: int) -> dict[str, Any]:
    """Return how likely a token was."""
    one = {"token": token, "logprob": -0.25, "bytes": [*token.encode()]}
    return {**one, "top_logprobs": [one] * others}


def _pieces(name: str, text: str) -> Iterator[dict[str, Any]]:
    for piece in _cut(text):
        yield {name: piece}


def _call(index: int, city: str, more: dict[str, Any]) -> Iterator[dict[str, Any]]:
    function = {"name": "get_weather", "arguments": ""}
    call_id = f"call_{city}".replace(" ", "_")
    call = {"index": index, "id": call_id, "type": "function", **more}
    yield {"tool_calls": [call | {"function": function}]}
    for piece in _cut(json.dumps({"city": city})):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _cut(text: str) -> Iterator[str]:
    for start in range(0, len(text), _CHARACTERS):
        yield text[start : start + _CHARACTERS]
