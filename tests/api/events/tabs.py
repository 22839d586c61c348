"""Readers of `/events/`, as a tab of a browser is one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from starlette.types import Message

from tests.api.serving import ALICE, Client, ServerSentEvent
from tests.shown_runs import ShownRuns
from tests.waiting import until


def parsed(frame: str) -> ServerSentEvent:
    facts = {"event": "", "id": "", "data": ""}
    for line in frame.splitlines():
        name, _, value = line.partition(": ")
        facts[name or "event"] = value if name else "comment"
    data = json.loads(facts["data"]) if facts["data"] else None
    return ServerSentEvent(facts["event"], data, facts["id"])


class Tab(ShownRuns):
    """
    Shows runs, leaves, and comes back where it was.

    Attributes:
        events: All that came, over all connections.
        status: What it was answered with.
        reads: Cleared while it is slow.
    """

    def __init__(self, client: Client, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self._client = client
        self._credential = ALICE if headers is None else headers
        self.events: list[ServerSentEvent] = []
        self.status = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self._is_leaving = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._listing: asyncio.Task[None] | None = None
        self._rest = b""

    async def open(self) -> None:
        """Connect, and wait for the first event."""
        known = len(self.events)
        self.status, self._rest = 0, b""
        self._is_leaving.clear()
        self._reading = asyncio.create_task(self._read())
        await until(lambda: len(self.events) > known or self.is_over)

    async def close(self) -> None:
        """Leave."""
        if self._reading is not None:
            self._is_leaving.set()
            self.reads.set()
            await self._reading
            self._reading = None
        if self._listing is not None:
            await self._listing

    @property
    def is_over(self) -> bool:
        return self._reading is None or self._reading.done()

    @property
    def refusal(self) -> dict[str, Any]:
        """The problem that it was answered with."""
        found: dict[str, Any] = json.loads(self._rest)
        return found

    def named(self, *names: str) -> list[ServerSentEvent]:
        return [one for one in self.events if one.event in names]

    def statuses(self, run_id: str) -> list[str]:
        """Return the states in the events of a run, in their order."""
        told = [one.data for one in self.named("run")]
        return [one["status"] for one in told if one["id"] == run_id]

    async def until(self, is_so: Callable[[], Any]) -> None:
        await until(lambda: is_so() or self.is_over)
        assert is_so(), self.events

    async def until_told(self, run_id: str, status: str = "succeeded") -> None:
        """Wait for the event that a run is in a state: a list does not count."""
        await self.until(lambda: status in self.statuses(run_id))

    async def until_shown(self, run_id: str, status: str = "succeeded") -> None:
        """Wait until it shows a run in a state, by an event or by a list."""
        await self.until(lambda: self.runs.get(run_id, {}).get("status") == status)

    async def _read(self) -> None:
        headers = {**self._credential, **self.headers, "host": "test"}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "headers": [(n.lower().encode(), v.encode()) for n, v in headers.items()],
            "scheme": "http",
            "path": "/events/",
            "raw_path": b"/events/",
            "query_string": urlencode(self.query).encode(),
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }

        async def receive() -> Message:
            await self._is_leaving.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                return
            await self.reads.wait()
            if not self._is_leaving.is_set():
                self._receive(message.get("body", b""))

        await self._client.app(scope, receive, send)

    def _receive(self, piece: bytes) -> None:
        if self.status != 200:
            self._rest += piece
            return
        *frames, self._rest = (self._rest + piece).split(b"\n\n")
        for frame in frames:
            one = parsed(frame.decode())
            self.events.append(one)
            self.take(*one)
        if self.is_outdated:
            self.is_outdated = False
            self._listing = asyncio.create_task(self._list())

    async def _list(self) -> None:
        """Ask for the list again."""
        answer = await self._client.get("/history/?limit=200", headers=self._credential)
        if answer.status_code == 200:
            self.list(answer.json()["history"])


@asynccontextmanager
async def tab(
    client: Client, *follow: str, headers: dict[str, str] | None = None
) -> AsyncIterator[Tab]:
    """Open a tab that follows runs from their beginning."""
    opened = Tab(client, headers)
    for run_id in follow:
        opened.follow(run_id)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()
