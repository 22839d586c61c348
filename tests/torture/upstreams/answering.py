"""Who answers a site's prompts: Replicate, or upstreams that keep the answer."""

import asyncio
import os
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import httpx2

from tests.acceptance.processes import ROOT, Runner, ServerProcess
from tests.torture.replicate import Replicate
from tests.waiting import LONG_ENOUGH, until

HEADER = "Idempotency-Key"
MODEL = "meta/llama-4-maverick-instruct"


class Upstream(Protocol):
    """What was asked of it, and what it is to do."""

    async def lose_creates(self) -> None:
        """Carry creates of prompts that are to be lost out, and cut the connections."""

    async def lost_creates(self) -> int:
        """Return how many creates' answers were lost."""

    async def predictions(self) -> list[dict[str, Any]]:
        """Return all that was begun for this site, as Replicate's emulator shows it."""

    async def close(self) -> None:
        """End what belongs to this site alone."""


@dataclass(frozen=True)
class Answering:
    """Who answers a site, and what its servers have to know of that."""

    upstream: Upstream
    settings: dict[str, Any]
    finds_lost: bool = True
    """Whether what was begun is found where its id got lost with a crash."""
    others: list[ServerProcess] = field(default_factory=list)
    """Servers that are killed, too."""


Opening = Callable[
    [Runner, Path, str, str, dict[str, Any]], AbstractAsyncContextManager[Answering]
]
"""Begins it, given who starts servers, a folder, the emulator, a word, and settings."""


@asynccontextmanager
async def on_replicate(
    _runner: Runner, _folder: Path, emulator: str, word: str, _usual: dict[str, Any]
) -> AsyncIterator[Answering]:
    replicate = Replicate(emulator, word)
    await replicate.keep_pace()
    yield Answering(replicate, replicate_settings(emulator))
    await replicate.close()


def replicate_settings(emulator: str) -> dict[str, Any]:
    return {"replicate_api_token": "r8_emulated", "replicate_base_url": emulator}


@asynccontextmanager
async def on_kept(
    _runner: Runner, folder: Path, _emulator: str, _word: str, _usual: dict[str, Any]
) -> AsyncIterator[Answering]:
    """A scripted server of Responses, which knows no keys."""
    async with kept_process(folder) as (kept, url):
        yield Answering(kept, await _toml(folder, url), finds_lost=False)


@asynccontextmanager
async def on_keyed(
    _runner: Runner, folder: Path, _emulator: str, _word: str, _usual: dict[str, Any]
) -> AsyncIterator[Answering]:
    """A scripted server of Responses that promises one response for each key."""
    async with kept_process(folder) as (kept, url):
        yield Answering(kept, await _toml(folder, url, header=HEADER))


@asynccontextmanager
async def on_llamakeep(
    runner: Runner, folder: Path, emulator: str, word: str, usual: dict[str, Any]
) -> AsyncIterator[Answering]:
    """Another llamakeep, which has Replicate answer: a prediction for each prompt."""
    replicate = Replicate(emulator, word)
    await replicate.keep_pace()
    place = folder / "upstream"
    await asyncio.to_thread(place.mkdir)
    url = f"sqlite:///{place / 'torture.db'}"
    settings = usual | replicate_settings(emulator) | {"database_url": url}
    settings |= {"max_running": 50}
    server = ServerProcess(runner, place, is_real=True, settings=settings)
    await server.start()
    try:
        toml = await _toml(
            folder,
            f"{str(server.client.base_url).rstrip('/')}/v1",
            header=HEADER,
            key="token_alice",
            model=f"replicate:{MODEL}",
        )
        yield Answering(replicate, toml, others=[server])
    finally:
        await server.close()
        await replicate.close()


async def _toml(
    folder: Path, url: str, *, header: str = "", key: str = "none", model: str = "m"
) -> dict[str, Any]:
    """Write llamakeep.toml, and return what names it in settings."""
    file = folder / "llamakeep.toml"
    keyed = f'idempotency_header = "{header}"\n' if header else ""
    text = (
        f'[upstreams.kept]\nkind = "openai"\nbase_url = "{url}"\nkey_file = "key"\n'
        f'models = ["{model}"]\nbackground = true\n{keyed}'
    )
    await asyncio.to_thread((folder / "key").write_text, key)
    await asyncio.to_thread(file.write_text, text)
    return {"config": str(file), "default_model": f"kept:{model}"}


class Kept:
    """The scripted server's own account of what it was asked for."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.AsyncClient(
            base_url=url, timeout=LONG_ENOUGH, trust_env=False, verify=False
        )

    async def lose_creates(self) -> None:
        """Do nothing: it loses those of all prompts that say so."""

    async def lost_creates(self) -> int:
        lost: int = (await self._account())["lost"]
        return lost

    async def predictions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._account())["predictions"]
        return found

    async def _account(self) -> dict[str, Any]:
        account: dict[str, Any] = (await self._client.get("/_made")).json()
        return account

    async def close(self) -> None:
        await self._client.aclose()

    async def is_there(self) -> bool:
        try:
            return (await self._client.get("/_made")).is_success
        except httpx2.TransportError:
            return False


@asynccontextmanager
async def kept_process(folder: Path) -> AsyncIterator[tuple[Kept, str]]:
    """Run the scripted server of Responses, and yield its account and address."""
    async with scripted_process(folder, "tests.responses_server") as port:
        url = f"http://127.0.0.1:{port}/v1"
        kept = Kept(url)
        try:
            await until(kept.is_there)
            yield kept, url
        finally:
            await kept.close()


@asynccontextmanager
async def scripted_process(folder: Path, module: str) -> AsyncIterator[int]:
    """Run a scripted server as a process, and yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, str(port)),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
    )
    try:
        yield port
    finally:
        process.kill()
        await process.wait()


async def runs_without_handle(database_url: str) -> set[str]:
    """Return the interrupted runs of which no response's id is stored."""
    query = "SELECT id FROM runs WHERE status = 'interrupted' AND handle IS NULL"
    if database_url.startswith("sqlite"):
        return await asyncio.to_thread(_in_file, database_url, query)
    connection = await asyncpg.connect(database_url)
    try:
        return {row["id"] for row in await connection.fetch(query)}
    finally:
        await connection.close()


def _in_file(database_url: str, query: str) -> set[str]:
    path = database_url.removeprefix("sqlite:///")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return {found for (found,) in connection.execute(query)}
    finally:
        connection.close()
