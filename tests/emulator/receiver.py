"""Somebody who receives webhooks."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.threaded import serving


@dataclass
class Received:
    headers: dict[str, str]
    raw: bytes
    path: str

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body


@dataclass
class Receiver:
    url: str
    answers: Sequence[int] = (200,)
    """The statuses to answer with; the last one for ever."""
    received: list[Received] = field(default_factory=list)

    def wait_for(self, count: int) -> list[Received]:
        """Return the first `count` webhooks, or fewer after five seconds."""
        give_up = time.monotonic() + 5
        while len(self.received) < count and time.monotonic() < give_up:
            time.sleep(0.01)
        return self.received[:count]


@contextmanager
def open_receiver(*answers: int) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            place = min(len(receiver.received), len(receiver.answers) - 1)
            receiver.received.append(Received(dict(self.headers), raw, self.path))
            self.send_response(receiver.answers[place])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook?run=1")
    receiver.answers = answers or (200,)
    with serving(server):
        yield receiver
