"""A model whose words a test says, behind a server that speaks OpenAI's API."""

import json
import select
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.threaded import serving

NAME = "parrot"
RICH = """# A heading

Some *slanted*, **bold** and ~~struck~~ words, `code`, and [a link](https://example.com/a).

- [x] one
- [ ] two
  1. three

> A quote

| Name | Number |
|:-----|-------:|
| one  |      1 |

```python
def answer():  # of a long, long line, which has to scroll
    return 42 + 0 * len("by itself rather than with all the page, also on a phone")
```

\u05e9\u05dc\u05d5\u05dd world

---
"""
"""An answer with all kinds of elements."""
Line = str | threading.Event | int
"""What to say, what to wait for before the next line, or a status to fail with."""
_USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
_FAILURE = {"error": {"message": "The parrot is asleep.", "type": "server_error"}}


class Model:
    """
    What answers: each prompt takes the next script, or the last one again.

    A script is what is said, in order.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        """The bodies of all requests, in order."""
        self.stopped = 0
        """How many answers were given up by who asked for them."""
        self._scripts: deque[Sequence[Line]] = deque([("Hello, ", "world.")])
        self._gates: list[threading.Event] = []

    def says(self, *scripts: Sequence[Line]) -> None:
        """Let the next answers be these; the last of them is said from then on."""
        self._scripts = deque(scripts)

    def gate(self) -> threading.Event:
        """Return something that an answer waits for."""
        gate = threading.Event()
        self._gates.append(gate)
        return gate

    def open(self) -> None:
        """Let nothing wait any more."""
        for gate in self._gates:
            gate.set()

    def script(self, body: dict[str, Any]) -> Sequence[Line]:
        """Return what is said to a request."""
        self.asked.append(body)
        return self._scripts[0] if len(self._scripts) == 1 else self._scripts.popleft()

    def prompts(self) -> list[list[tuple[str, str]]]:
        """Return what each request has told: roles and texts."""
        return [
            [(each["role"], each["content"]) for each in body["messages"]]
            for body in self.asked
        ]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, model: Model) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = model


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": NAME}]})

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        script = self.server.model.script(json.loads(self.rfile.read(length)))
        if script and isinstance(script[0], int):
            self._send(script[0], _FAILURE)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            self._answer(script)
        except ConnectionError:
            self.server.model.stopped += 1

    def _answer(self, script: Sequence[Line]) -> None:
        for line in script:
            self._say(line)
        self._event({"choices": [_choice({}, "stop")], "usage": _USAGE})
        self.wfile.write(b"data: [DONE]\n\n")

    def _say(self, line: Line) -> None:
        if isinstance(line, str):
            self._event({"choices": [_choice({"content": line}, None)]})
            return
        assert isinstance(line, threading.Event)
        while not line.wait(0.02):
            if _is_closed(self.connection):
                raise BrokenPipeError

    def _event(self, event: dict[str, Any]) -> None:
        self.wfile.write(b"data: %b\n\n" % json.dumps(event).encode())
        self.wfile.flush()

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def open_model() -> Iterator[Model]:
    """Serve a model on this machine."""
    model = Model()
    server = _Server(model)
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    with serving(server):
        try:
            yield model
        finally:
            model.open()


def _choice(delta: dict[str, str], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _is_closed(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
