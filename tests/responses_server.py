"""
A server of OpenAI's Responses API on loopback: it keeps responses, and counts them.

    python -m tests.responses_server PORT

It is no product of ours, so it says only what OpenAI's API says; how it misbehaves is
set on it. As a process of its own, it cuts some streams, and has no end.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.providers.stub_server import Heard, hear
from tests.responses_events import Event, events_of, message

LOST = "lost"
"""A word of prompts whose create is carried out and not answered."""
_ENDED = {"completed", "incomplete", "failed", "cancelled"}
_STATUSES = {"completed": "succeeded", "cancelled": "canceled", "failed": "failed"}
"""As the account of Replicate's emulator names them."""


@dataclass
class Made:
    """A response that was begun, and is paid for."""

    id: str
    body: dict[str, Any]
    events: list[Event]
    """All events, as they will have been when it has ended."""
    key: str | None
    began: float
    cancels: int = 0
    canceled_at: float | None = None
    streams: int = 0
    reads: int = 0
    """How often it was read, or its stream."""

    @property
    def prompt(self) -> str:
        content: str = self.body["input"][-1]["content"]
        return content


@dataclass
class ResponsesServer:
    """What is kept, what was asked, and how it is to behave."""

    pace: float = 0.0
    """Seconds between two events."""
    delay: float = 0.0
    """Seconds for which a response is queued."""
    header: str = "idempotency-key"
    honours_keys: bool = False
    items: list[dict[str, Any]] = field(default_factory=list)
    """What a response has as its output; by default, a text of its own."""
    ending: dict[str, Any] = field(default_factory=dict)
    """What the response is beside `completed`."""
    loses: int = 0
    """Creates that are carried out and not answered."""
    refusals: list[tuple[int, Any]] = field(default_factory=list)
    """What the next creates are refused with."""
    cuts: list[int] = field(default_factory=list)
    """After how many events the next streams are cut."""
    streams_again: bool = True
    """Whether a response that was begun can be streamed once more."""
    begins_again: bool = False
    """Whether streams ignore `starting_after`, and have all events again."""
    held_from: int | None = None
    """The event that comes only when a stream is asked for once more."""
    is_numbered: bool = True
    unknown_for: int = 0
    """How often it says that it does not know a response."""
    noise: list[Event] = field(default_factory=list)
    """Events that nobody knows, before each of the others."""
    chance: random.Random | None = None
    """What cuts one stream in four, and ends its connection."""
    made: dict[str, Made] = field(default_factory=dict)
    lost: int = 0
    heard: list[Heard] = field(default_factory=list)
    base_url: str = ""
    stop: Callable[[], Awaitable[None]] = field(init=False)
    """Listens no more, and ends all connections."""

    @property
    def creates(self) -> list[Heard]:
        return [one for one in self.heard if one.path == "/v1/responses"]

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while heard := await hear(reader):
                self.heard.append(heard)
                if not await self._answer(heard, writer):
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, heard: Heard, writer: asyncio.StreamWriter) -> bool:
        """Answer a request, and return whether the connection is kept."""
        url = urlsplit(heard.path)
        path, query = url.path.removeprefix("/v1/"), parse_qs(url.query)
        match [heard.method, *path.strip("/").split("/")]:
            case ["POST", "responses"]:
                return await self._create(heard, writer)
            case ["GET", "responses", found] if found in self.made:
                return await self._read(self.made[found], query, writer)
            case ["POST", "responses", found, "cancel"] if found in self.made:
                made = self.made[found]
                made.cancels += 1
                if (
                    made.canceled_at is None
                    and self._copy(made)["status"] not in _ENDED
                ):
                    made.canceled_at = time.time()
                _write(writer, 200, self._copy(made))
            case ["GET", "models"]:
                _write(writer, 200, {"object": "list", "data": [{"id": "m"}]})
            case ["GET", "_made"]:
                all_made = [self._account(each) for each in self.made.values()]
                _write(writer, 200, {"predictions": all_made, "lost": self.lost})
            case _:
                _write(writer, 404, {"error": {"message": "There is no such thing."}})
        await writer.drain()
        return True

    async def _create(self, heard: Heard, writer: asyncio.StreamWriter) -> bool:
        if self.refusals:
            status, refusal = self.refusals.pop(0)
            _write(writer, status, refusal)
            return True
        key = heard.headers.get(self.header) if self.honours_keys else None
        known = [each for each in self.made.values() if key and each.key == key]
        made = known[0] if known else self.begin(heard.json, key)
        # It is lost once: the next one with this key is told.
        if not known and (self.loses or LOST in made.prompt.split()):
            self.loses = max(0, self.loses - 1)
            self.lost += 1
            writer.transport.abort()
            return False
        return await self._stream(made, -1, writer)

    def begin(self, body: dict[str, Any], key: str | None = None) -> Made:
        """Begin a response, as a create does."""
        found = f"resp_{len(self.made)}{random.getrandbits(64):016x}"
        items = self.items or [message(_words(body["input"][-1]["content"]))]
        events = list(events_of(found, items, self.ending))
        made = Made(found, body, events, key, time.time() + self.delay)
        self.made[found] = made
        return made

    async def _read(
        self,
        made: Made,
        query: dict[str, list[str]],
        writer: asyncio.StreamWriter,
    ) -> bool:
        made.reads += 1
        if self.unknown_for:
            self.unknown_for -= 1
            _write(writer, 404, {"error": {"message": "Not found."}})
        elif query.get("stream") != ["true"]:
            _write(writer, 200, self._copy(made))
        elif not self.streams_again:
            _write(writer, 400, {"error": {"message": "It cannot be streamed."}})
        else:
            made.streams += 1
            after = int(query.get("starting_after", ["-1"])[0])
            if self.begins_again:
                after = -1
            return await self._stream(made, after, writer)
        return True

    async def _stream(
        self, made: Made, after: int, writer: asyncio.StreamWriter
    ) -> bool:
        cut = self.cuts.pop(0) if self.cuts else None
        if self.chance is not None and self.chance.random() < 0.25:
            cut = self.chance.randint(1, 20)
        writer.write(
            b"HTTP/1.1 200 -\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for sent, event in enumerate(made.events[after + 1 :]):
            if cut is not None and sent >= cut:
                await writer.drain()
                writer.transport.close()
                return False
            await self._until_due(made, event["sequence_number"])
            if made.canceled_at is not None:
                copy = self._copy(made)
                end = {"type": "response.incomplete", "response": copy}
                _write_event(writer, end | {"sequence_number": 10_000})
                break
            for each in [*self.noise, event]:
                if self.is_numbered or each is not event:
                    _write_event(writer, each)
                else:
                    known = {name: each[name] for name in each}
                    del known["sequence_number"]
                    _write_event(writer, known)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _until_due(self, made: Made, number: int) -> None:
        if not number and self.held_from != 0:
            return  # it says at once what it has begun
        while not self._is_due(made, number, time.time()):
            if made.canceled_at is not None:
                return
            left = made.began + number * self.pace - time.time()
            await asyncio.sleep(max(0.005, min(left, 0.05)))

    def _is_due(self, made: Made, number: int, now: float) -> bool:
        is_held = self.held_from is not None and number >= self.held_from
        if is_held and not made.streams:
            return False
        return made.began + number * self.pace <= now

    def _copy(self, made: Made) -> dict[str, Any]:
        """Return the response as it is now."""
        until = time.time() if made.canceled_at is None else made.canceled_at
        output: list[dict[str, Any]] = []
        copy: dict[str, Any] = made.events[0]["response"] | {"status": "queued"}
        for event in made.events:
            if not self._is_due(made, event["sequence_number"], until):
                break
            kind = event["type"]
            if event["type"] in {"response.in_progress", "response.created"}:
                copy = event["response"]
            elif kind == "response.output_item.added":
                output.append(event["item"])
            elif kind == "response.output_item.done":
                output[-1] = event["item"]
            elif "response" in event:
                return dict(event["response"])
            elif kind.endswith(".delta"):
                output[-1] = _grown(output[-1], event)
        if made.canceled_at is not None:
            copy = copy | {"status": "cancelled"}
        return copy | {"output": output}

    def _account(self, made: Made) -> dict[str, Any]:
        """Return what is known of a response, as Replicate's emulator shows one."""
        copy = self._copy(made)
        ended = made.began + len(made.events) * self.pace
        if made.canceled_at is not None:
            ended = made.canceled_at
        return {
            "id": made.id,
            "status": _STATUSES.get(copy["status"], "processing"),
            "input": {"prompt": made.prompt},
            "output": [
                part["text"] for item in copy["output"] for part in item["content"]
            ],
            "created_at": _date(made.began),
            "completed_at": _date(ended),
            "requests": {"cancel": made.cancels, "read": made.reads},
        }


def _grown(item: dict[str, Any], event: Event) -> dict[str, Any]:
    """Return an item with one more delta, if it is of a text."""
    if event["type"] != "response.output_text.delta":
        return item
    parts = [part["text"] for part in item["content"]]
    parts += [""] * (event["content_index"] + 1 - len(parts))
    parts[-1] += event["delta"]
    return item | {"content": message(*parts)["content"]}


def _words(prompt: str) -> str:
    """Return a text that no other prompt gets, nor this one a second time."""
    return f"To {prompt!r}: " + " ".join(
        f"\u00e9{random.getrandbits(32):x}" for _ in range(8)
    )


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _write(writer: asyncio.StreamWriter, status: int, body: Any) -> None:
    data = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)


def _write_event(writer: asyncio.StreamWriter, event: Event) -> None:
    kind = event.get("type", "odd")
    data = f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode()
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


@asynccontextmanager
async def responses_server(port: int = 0, **how: Any) -> AsyncIterator[ResponsesServer]:
    """Run a server, and yield it."""
    server = ResponsesServer(**how)
    handlers: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.create_task(server.serve(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", port, backlog=512)

    async def stop() -> None:
        listening.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    server.stop = stop
    server.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        await stop()


async def _serve(port: int) -> None:
    how = {"honours_keys": True, "chance": random.Random()}
    async with responses_server(port, pace=0.02, delay=0.05, **how):
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1])))
