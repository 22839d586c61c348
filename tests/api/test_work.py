"""
What a prompt takes of the machine: calls, tasks, changes of thread, and memory.

Times depend on who else is there. These numbers do not: they are the same in each run,
so that more of them is a change of the program. Where one falls, lower its bound.
"""

import asyncio
import gc
import json
import sys
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import Connection

from llamakeep.domain import NewRun
from llamakeep.engine import Update
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.api.serving import ALICE, PROMPT, PROMPTS, Client, connect
from tests.fakes import ScriptedProvider

FRAMEWORKS = {"fastapi", "starlette", "pydantic", "sqlalchemy", "anyio"}

PLAIN, STREAMED = False, True
CALLS = {
    ("/prompt/", PLAIN): (120, 46),
    ("/prompt/", STREAMED): (205, 100),
    ("/v1/completions", PLAIN): (146, 55),
    ("/v1/completions", STREAMED): (237, 103),
    ("/v1/chat/completions", PLAIN): (153, 55),
    ("/v1/chat/completions", STREAMED): (253, 105),
}
"""
How often functions are entered or gone on with: ours, and the frameworks'. Versions of
Python differ a little; these are the highest.
"""
MARGIN = 1.05
"""For other versions of the frameworks."""

WRITES = (192, 378)
"""
How often SQLite's thread enters our functions or SQLAlchemy's for a plain prompt, and
the steps that SQLite's own machine takes: an index or a trigger more takes some.
"""

PIECE, PIECES = 16 * 1024, 32
SIZE = PIECE * PIECES


@pytest.fixture
async def client(quiet: Settings, provider: ScriptedProvider) -> AsyncIterator[Client]:
    """A server that has answered before, by each path."""
    async with connect(quiet, provider) as client:
        for path, body in PROMPTS.items():
            for is_streamed in (PLAIN, STREAMED):
                await client.post(path, json=body | {"stream": is_streamed})
        yield client


@pytest.fixture
async def long_winded(quiet: Settings) -> AsyncIterator[Client]:
    """A server that answers with half a megabyte, in pieces; it has done so before."""
    pieces = [chr(97 + number % 26) * PIECE for number in range(PIECES)]
    async with connect(quiet, ScriptedProvider(pieces)) as client:
        await client.post("/prompt/", json=PROMPT)
        yield client


@contextmanager
def counting_calls() -> Iterator[Counter[str]]:
    """Count by package which functions this thread, the event loop's, goes into."""
    counts: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            counts[str(frame.f_globals.get("__name__")).partition(".")[0]] += 1

    sys.setprofile(note)
    try:
        yield counts
    finally:
        sys.setprofile(None)


@asynccontextmanager
async def counting_writes(storage: Storage) -> AsyncIterator[Counter[str]]:
    """Count which functions SQLite's thread goes into, and `steps` of SQLite itself."""
    counts: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            counts[str(frame.f_globals.get("__name__")).partition(".")[0]] += 1

    def step() -> int:
        counts["steps"] += 1
        return 0

    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(step, 1)
        sys.setprofile(note)

    def end(connection: Connection) -> None:
        sys.setprofile(None)
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(None, 1)

    await storage._database.write(begin)
    try:
        yield counts
    finally:
        await storage._database.write(end)


@contextmanager
def counting_tasks() -> Iterator[list[str]]:
    """List the tasks that are begun, by what they do."""
    begun: list[str] = []

    def create(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any
    ) -> asyncio.Task[Any]:
        begun.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **more)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(create)
    try:
        yield begun
    finally:
        loop.set_task_factory(None)


class Weight:
    """Bytes of Python's that a block adds."""

    added = 0
    """What is left of them after it."""
    most = 0


@contextmanager
def weighing() -> Iterator[Weight]:
    weight = Weight()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield weight
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    weight.added, weight.most = after - before, most - before


async def send(
    client: Client,
    path: str,
    body: dict[str, Any],
    *,
    begun: asyncio.Event | None = None,
) -> int:
    """Post a prompt, forget the answer as it comes, and return how long it was."""
    size = 0
    messages = [{"type": "http.request", "body": json.dumps(body).encode()}]
    length = str(len(messages[0]["body"]))

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()  # the client stays
        return messages.pop()

    async def forget(message: Any) -> None:
        nonlocal size
        size += len(message.get("body", b""))
        if begun is not None and size:
            begun.set()

    headers = ALICE | {"content-type": "application/json", "host": "test"}
    headers |= {"content-length": length}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    await client.app(scope, receive, forget)
    return size


@pytest.mark.parametrize(("path", "is_streamed"), CALLS)
async def test_a_prompt_takes_so_many_calls(
    client: Client, path: str, is_streamed: bool
) -> None:
    ours, frameworks = CALLS[path, is_streamed]
    body = PROMPTS[path] | {"stream": is_streamed}

    with counting_calls() as counts:
        await send(client, path, body)

    assert counts["llamakeep"] <= MARGIN * ours, counts
    assert sum(counts[name] for name in FRAMEWORKS) <= MARGIN * frameworks, counts


async def test_a_prompts_writes_take_so_many_calls_and_steps(client: Client) -> None:
    calls, steps = WRITES

    async with counting_writes(client.storage) as counts:
        await send(client, "/prompt/", PROMPT)

    assert counts["steps"] <= MARGIN * steps, counts
    assert counts["llamakeep"] + counts["sqlalchemy"] <= MARGIN * calls, counts


@pytest.mark.parametrize("path", PROMPTS)
@pytest.mark.parametrize("is_streamed", [PLAIN, STREAMED])
async def test_a_prompt_takes_a_task_and_one_for_each_who_may_leave(
    client: Client, path: str, is_streamed: bool
) -> None:
    watching = (path != "/prompt/") + is_streamed

    with counting_tasks() as begun:
        await send(client, path, PROMPTS[path] | {"stream": is_streamed})

    assert len(begun) <= 1 + watching, begun


@pytest.mark.parametrize("path", PROMPTS)
@pytest.mark.parametrize("is_streamed", [PLAIN, STREAMED])
async def test_a_prompt_waits_for_another_thread_once_for_each_commit(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: str, is_streamed: bool
) -> None:
    loop = asyncio.get_running_loop()
    wake, woken = loop.call_soon_threadsafe, []

    def note(callback: Any, *arguments: Any, **more: Any) -> asyncio.Handle:
        woken.append(callback)
        return wake(callback, *arguments, **more)

    monkeypatch.setattr(loop, "call_soon_threadsafe", note)
    await send(client, path, PROMPTS[path] | {"stream": is_streamed})

    assert len(woken) <= 2, woken


@pytest.mark.parametrize(
    ("path", "is_streamed", "copies"),
    [
        ("/prompt/", PLAIN, 2),
        ("/prompt/", STREAMED, 3.3),  # its last event says all of it once more
        ("/v1/chat/completions", PLAIN, 2),
        ("/v1/chat/completions", STREAMED, 1.1),
    ],
)
async def test_a_long_answer_is_in_memory_so_often(
    long_winded: Client, path: str, is_streamed: bool, copies: float
) -> None:
    body = PROMPTS[path] | {"stream": is_streamed}
    await send(long_winded, path, body)

    with weighing() as weight:
        sent = await send(long_winded, path, body)

    assert sent > SIZE
    assert weight.most < (copies + 0.4) * SIZE


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/prompt/", "/v1/chat/completions"])
async def test_while_an_answer_is_streamed_its_prompt_is_in_memory_once(
    quiet: Settings, path: str
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider(["Hello"])
    said = "x" * SIZE
    long = {"prompt": said, "messages": [{"role": "user", "content": said}]}
    body = {name: long.get(name, value) for name, value in PROMPTS[path].items()}
    begun = asyncio.Event()
    async with connect(quiet, provider) as client:
        await send(client, path, PROMPTS[path] | {"stream": True})
        provider.script = ["Hello", go_on]

        with weighing() as weight:
            streaming = asyncio.create_task(
                send(client, path, body | {"stream": True}, begun=begun)
            )
            await begun.wait()
            gc.collect()

        go_on.set()
        await streaming
    assert SIZE < weight.added < 1.4 * SIZE


@pytest.mark.slow
async def test_all_who_follow_an_answer_share_its_text(long_winded: Client) -> None:
    [alice, *_] = await long_winded.storage.list_users()
    engine = long_winded.engine

    with weighing() as weight:
        run = await engine.accept(alice, NewRun(prompt="Go on"), is_followed=True)

        async def follow() -> list[Update]:
            return [update async for update in engine.follow(run)]

        heard = await asyncio.gather(*(follow() for _ in range(20)))

    assert {len(updates) for updates in heard} == {PIECES + 1}
    assert weight.most < 2 * SIZE


@pytest.mark.slow
async def test_a_prompt_leaves_nothing_in_memory(
    client: Client, provider: ScriptedProvider
) -> None:
    async def prompts(count: int) -> int:
        """Send some, and return how many blocks of memory are in use then."""
        for _ in range(count):
            await send(client, "/prompt/", PROMPT)
        provider.requests.clear()
        gc.collect()
        return sys.getallocatedblocks()

    before = await prompts(50)

    assert await prompts(100) - before < 10 * 100
