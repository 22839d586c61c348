"""
A provider: the OpenAI-compatible end of the benchmark.

    python -m bench.upstream PORT

All servers under test ask it. It parses nothing but the length of a request, and does
what `POST /manner` last said: how long a plain answer takes, and how a stream goes.
Streams that began before that end with their next word.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, cast

from bench.cores import allow_many_connections, pin_to_load_core, run
from bench.processes import call

WORD = "word "


@dataclass(frozen=True, slots=True)
class Manner:
    """How it answers; times are seconds."""

    delay: float = 0
    """Until a plain answer is there."""
    words: int = 20
    first: float = 0
    """Until a stream's first word."""
    gap: float | None = None
    """
    From one word of a stream to the next, where 0 is as fast as it can. `None` is all
    of it at once and in one piece: what each word costs, `bench.streams` measures.
    """


def behave(port: int, manner: Manner) -> None:
    """Tell the provider that listens there how to answer from now on."""
    call(port, "/manner", asdict(manner))


def calls(port: int) -> int:
    """Return how many prompts it was sent."""
    return int(call(port, "/calls"))


@cache
def plain(words: int) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": WORD * words},
        "finish_reason": "stop",
    }
    return _json(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 0,
            "model": "bench",
            "choices": [choice],
            "usage": _usage(words),
        }
    )


@cache
def whole(words: int) -> bytes:
    """Return a stream of so many words that is sent in one piece."""
    body = b"".join(_events(words))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d"
    return head % len(body) + b"\r\n\r\n" + body


@cache
def pieces(words: int) -> list[bytes]:
    """Return what a stream of so many words is sent as."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    *spoken, end = [_chunk(event) for event in _events(words)]
    return [head + spoken[0], *spoken[1:], end + b"0\r\n\r\n"]


def _events(words: int) -> list[bytes]:
    """Return one for each word, and the end."""
    first = _event({"role": "assistant", "content": WORD}, None)
    word = _event({"content": WORD}, None)
    end = _event({}, "stop", usage=_usage(words)) + b"data: [DONE]\n\n"
    return [first, *[word] * (words - 1), end]


def _usage(words: int) -> dict[str, int]:
    return {"prompt_tokens": 8, "completion_tokens": words, "total_tokens": 8 + words}


def _event(delta: dict[str, str], reason: str | None, **more: Any) -> bytes:
    said = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        **more,
    }
    return b"data: %b\n\n" % json.dumps(said).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _json(body: Any) -> bytes:
    data = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d"
    return head % len(data) + b"\r\n\r\n" + data


class Provider:
    """What all connections share."""

    def __init__(self) -> None:
        self.manner = Manner()
        self.calls = 0


class Connection(asyncio.Protocol):
    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.buffer = b""
        self.loop = asyncio.get_running_loop()

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
            body = self.buffer[end + 4 : stop]
            self.buffer = self.buffer[stop:]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        manner = self.provider.manner
        if head.startswith(b"post /manner"):
            self.provider.manner = Manner(**json.loads(body))
            self.transport.write(_json({}))
        elif head.startswith(b"get /calls"):
            self.transport.write(_json(self.provider.calls))
        elif b'"stream":true' in body.replace(b" ", b""):
            self.provider.calls += 1
            self.loop.call_later(manner.first, self.stream, manner, self.loop.time(), 0)
        else:
            self.provider.calls += 1
            if manner.delay:
                self.loop.call_later(manner.delay, self.say, plain(manner.words))
            else:
                self.say(plain(manner.words))

    def say(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def stream(self, manner: Manner, began: float, number: int) -> None:
        """Say a stream's next piece, and see to the one after."""
        if manner.gap is None:
            self.say(whole(manner.words))
            return
        everything = pieces(manner.words)
        if manner is not self.provider.manner:
            self.say(b"".join(everything[number:]))
            return
        self.say(everything[number])
        after = number + 1
        if self.transport.is_closing() or after == len(everything):
            return
        if not manner.gap:
            self.loop.call_soon(self.stream, manner, began, after)
        elif after == manner.words:  # the end comes with the last word
            self.say(everything[after])
        else:
            # By the clock, so that it does not fall behind by itself.
            due = began + manner.first + manner.gap * after
            self.loop.call_at(due, self.stream, manner, began, after)


async def main(port: int) -> None:
    provider = Provider()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(provider), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    pin_to_load_core()
    allow_many_connections()
    run(main(int(sys.argv[1])))
