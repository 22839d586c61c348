"""An installation on which a check finds nothing, for tests to break."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import pytest

from llamakeep.check.checks import run_checks
from llamakeep.check.finding import Finding
from llamakeep.domain import utc_now
from llamakeep.settings import Settings

Bodies = Mapping[str, tuple[int, object]]
"""By path: a status, and JSON."""
MODELS = {"data": [{"id": "parrot"}, {"id": "llama3.2:latest"}]}


@asynccontextmanager
async def answering(
    bodies: Bodies, *, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[str]:
    """Serve JSON on loopback, and give the URL; other paths are 404."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        status, content = bodies.get(path, (404, {"detail": "There is no such page."}))
        body = json.dumps(content).encode()
        date = format_datetime(now().astimezone(UTC), usegmt=True)
        lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}"]
        lines += ["content-type: application/json", f"date: {date}"]
        lines += ["connection: close", "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


@pytest.fixture
async def provider() -> AsyncIterator[str]:
    """The base URL of an OpenAI-compatible server that lists two models."""
    async with answering({"/v1/models": (200, MODELS)}) as url:
        yield f"{url}/v1"


@pytest.fixture(autouse=True)
def surroundings(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of an installation that works but for a model, which it has not."""
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("LLAMAKEEP_LOCAL_MODEL", "none")
    monkeypatch.setenv("LLAMAKEEP_PORT", "0")
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def good(surroundings: Path, provider: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installation that works."""
    monkeypatch.setenv("LLAMAKEEP_OPENAI_BASE_URL", provider)
    return surroundings


look = partial(run_checks, longest=30)


def the_only(found: Sequence[Finding], about: str) -> Finding:
    """Return what is wrong, where nothing else may be."""
    wrong = [each for each in found if each.level != "ok"]
    assert len(wrong) == 1, wrong
    assert wrong[0].about == about, wrong
    assert wrong[0].fix
    return wrong[0]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
