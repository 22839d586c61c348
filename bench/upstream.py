"""
A provider that answers at once: the OpenAI-compatible end of the benchmark.

    python -m bench.upstream PORT

Both servers under test ask it. It parses nothing but the length of a request.
"""

import asyncio
import json
import sys
from typing import cast

from bench.cores import pin_to_load_core, run

WORDS = 20


def _plain() -> bytes:
    body = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 0,
            "model": "bench",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "word " * WORDS},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 8, "completion_tokens": WORDS},
        }
    ).encode()
    return _head(b"application/json") + b"content-length: %d\r\n\r\n" % len(body) + body


def _streamed() -> bytes:
    def event(choice: dict[str, object], **more: object) -> bytes:
        said = {"id": "chatcmpl-bench", "model": "bench", "choices": [choice], **more}
        return b"data: " + json.dumps(said).encode() + b"\n\n"

    word = event({"index": 0, "delta": {"content": "word "}, "finish_reason": None})
    usage = {"prompt_tokens": 8, "completion_tokens": WORDS}
    end = event({"index": 0, "delta": {}, "finish_reason": "stop"}, usage=usage)
    body = word * WORDS + end + b"data: [DONE]\n\n"
    return (
        _head(b"text/event-stream") + b"content-length: %d\r\n\r\n" % len(body) + body
    )


def _head(kind: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\n"


PLAIN, STREAMED = _plain(), _streamed()


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by class.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            stop = end + 4 + length
            if len(self.buffer) < stop:
                return
            wants_stream = b'"stream":true' in self.buffer[end:stop].replace(b" ", b"")
            self.buffer = self.buffer[stop:]
            self.transport.write(STREAMED if wants_stream else PLAIN)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    pin_to_load_core()
    run(main(int(sys.argv[1])))
