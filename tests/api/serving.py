"""The whole server in this process, and a client that talks to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamakeep.app import create_app
from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import User
from llamakeep.engine import Engine
from llamakeep.providers.base import Provider
from llamakeep.services import Services
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import read_text
from llamakeep.storage import Storage

ALICE = {"Authorization": "Bearer token_alice"}
BOB = {"Authorization": "Bearer token_bob"}
PROMPT = {"prompt": "What is FastAPI and why is it useful?"}
PROMPTS: dict[str, dict[str, Any]] = {
    "/prompt/": PROMPT,
    "/v1/completions": {"model": "parrot", "prompt": "Hi"},
    "/v1/chat/completions": {
        "model": "parrot",
        "messages": [{"role": "user", "content": "Hi"}],
    },
}
"""By path: whatever takes prompts, and what it may be sent."""


class ServerSentEvent(NamedTuple):
    """One event as it came in."""

    event: str
    data: Any
    id: str


ENDLESS = ("/events/",)
"""Paths whose answers have no end: `tests.api.events.tabs` reads them."""


def left_early(app: ASGIApp) -> ASGIApp:
    """Leave endless streams after their first piece: this transport waits for ends."""

    async def entered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in ENDLESS:
            await app(scope, receive, send)
            return
        has_left = asyncio.Event()
        is_over = False

        async def leave() -> Message:
            await has_left.wait()
            return {"type": "http.disconnect"}

        async def take(message: Message) -> None:
            nonlocal is_over
            is_body = message["type"] == "http.response.body"
            is_over = is_body and not message.get("more_body", False)
            await send(message)
            if is_body:
                has_left.set()

        await app(scope, leave, take)
        if not is_over:
            await send({"type": "http.response.body", "body": b""})

    return entered


class Client(httpx2.AsyncClient):
    """Speaks as alice, unless it is given somebody else's headers."""

    def __init__(self, app: FastAPI, *, address: str, raise_bugs: bool) -> None:
        transport = httpx2.ASGITransport(
            left_early(app), client=(address, 1), raise_app_exceptions=raise_bugs
        )
        super().__init__(transport=transport, base_url="http://test", headers=ALICE)
        self.app = app

    @property
    def services(self) -> Services:
        found = self.app.state.services
        assert isinstance(found, Services)
        return found

    @property
    def storage(self) -> Storage:
        return self.services.storage

    @property
    def engine(self) -> Engine:
        return self.services.engine

    async def alice(self) -> User:
        found = await self.storage.find_user_by_access_token(digest("token_alice"))
        assert found is not None
        return found

    async def history(self, **headers: str) -> list[dict[str, Any]]:
        """Return the newest page of the history."""
        response = await self.get("/history/?limit=200", headers=headers)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["history"]
        return found

    async def events(
        self, method: str, url: str, **options: Any
    ) -> list[ServerSentEvent]:
        """Return all events of a stream that ends."""
        async with self.sse(url, method=method, **options) as source:
            assert source.response.status_code == 200, await source.response.aread()
            return [
                ServerSentEvent(one.event, one.json(), one.id) async for one in source
            ]

    async def begin(self, prompt: str = "Go on", **fields: Any) -> str:
        """Begin a run in the background, and return its id."""
        response = await self.post(
            "/prompt/", json={"prompt": prompt, "background": True, **fields}
        )
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    async def ended(self, run_id: str) -> dict[str, Any]:
        """Wait until a run of alice's is over, and return how it ended."""
        await self.events("GET", f"/history/{run_id}/stream")
        found: dict[str, Any] = (await self.get(f"/history/{run_id}")).json()
        return found

    async def written(self, run_id: str, text: str) -> None:
        """Wait until so much of a run of alice's is in the history."""
        for _ in range(500):
            run = (await self.get(f"/history/{run_id}")).json()
            if run["response"] == text:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{run['response']!r} is not {text!r}")

    async def let_in(
        self,
        user: User | str,
        *,
        lifetime: float = 3600,
    ) -> dict[str, str]:
        """Log a user in, creating them if need be, and return their headers."""
        if isinstance(user, str):
            user = await self.storage.add_user(user, None)
        access_token = new_access_token()
        await self.storage.add_access_token(
            user, digest(access_token), lifetime=timedelta(seconds=lifetime)
        )
        return {"Authorization": f"Bearer {access_token}"}


@asynccontextmanager
async def connect(
    settings: Settings,
    *providers: Provider,
    address: str = "127.0.0.1",
    raise_bugs: bool = True,
) -> AsyncIterator[Client]:
    app = create_app(settings, providers=providers)
    async with (
        app.router.lifespan_context(app),
        Client(app, address=address, raise_bugs=raise_bugs) as client,
    ):
        yield client


@asynccontextmanager
async def connect_with(settings: Settings, text: str) -> AsyncIterator[Client]:
    """Connect to a server whose `llamakeep.toml` has this text."""
    settings = settings.model_copy(update={"local_model": Path("none")})
    said = await asyncio.to_thread(read_text, text, Path("llamakeep.toml"), settings)
    app = create_app(settings, upstreams=said)
    async with (
        app.router.lifespan_context(app),
        Client(app, address="127.0.0.1", raise_bugs=True) as client,
    ):
        yield client
