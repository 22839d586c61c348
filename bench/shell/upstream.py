"""An OpenAI-compatible server whose answers are large, and not streamed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.shell.server import MEGABYTE

SIZE = 32 * MEGABYTE
TEXT = 16 * MEGABYTE

_OPENING = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"'
_CLOSING = b'"},"finish_reason":"stop"}]'
_SHORT = _OPENING + b"ok" + _CLOSING
_BODIES = {
    "short": (_SHORT, b"", 0, b"}"),
    # What it begins with, what is repeated, how many bytes of that, the end.
    "text": (_OPENING, b"y" * 65536, TEXT, _CLOSING + b"}"),
    "lists": (_SHORT + b',"x":[[]', b",[]" * 20_000, SIZE, b"]}"),
    "deep": (_SHORT + b',"x":', b"[" * 65536, SIZE, b"}"),
    "digits": (_SHORT + b',"x":', b"9" * 65536, SIZE, b"}"),
    "string": (_SHORT + b',"x":"', b"y" * 65536, SIZE, b'"}'),
    "strings": (_SHORT + b',"x":[""', b',""' * 20_000, SIZE, b"]}"),
}
MODELS = tuple(_BODIES)
LARGE = MODELS[1:]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer with what the model's name says."""
        asked = self.rfile.read(int(self.headers["content-length"]))
        name = next(each for each in MODELS if b'"%b"' % each.encode() in asked)
        opening, block, size, closing = _BODIES[name]
        count = size // max(len(block), 1)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        length = len(opening) + count * len(block) + len(closing)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            self.wfile.write(opening)
            for _ in range(count):
                self.wfile.write(block)
            self.wfile.write(closing)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def upstream() -> Iterator[str]:
    """Yield the base URL at which it listens until the context ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
