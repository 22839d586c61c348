"""`llamakeep serve --workers 2`: real processes, one of which may be killed."""

import asyncio
import os
import random
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import asyncpg
import httpx2
import pytest

from llamakeep.providers.local.weights import find_weights, has_engine
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from tests.acceptance.processes import Served
from tests.acceptance.test_crashes import Told, check_nothing_is_lost, post_until
from tests.cli.conftest import Process, started
from tests.providers.stub_server import END, STOP, StubServer, Then, delta, head
from tests.providers.stub_server import running_stub as running
from tests.waiting import LONG_ENOUGH

KILLS = 3
CLIENTS = 32


class Service(Served):
    """A parent that says it serves, and its workers."""

    def __init__(self, process: Process, port: int) -> None:
        super().__init__(port)
        self.process = process
        self.port = port

    async def children(self, pid: int | None = None) -> list[int]:
        """Return the processes that the parent started, or any other one."""
        ps = await asyncio.create_subprocess_exec(
            *("pgrep", "-P", str(pid or self.process.pid)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await ps.communicate()
        return [int(line) for line in out.split()]

    async def workers(self, count: int, *, but: Iterable[int] = ()) -> list[int]:
        """Wait until there are so many, none of which is among `but`."""
        async with asyncio.timeout(LONG_ENOUGH):
            while True:
                found = await self.children()
                if len(found) == count and not set(found) & set(but):
                    return found
                await asyncio.sleep(0.02)

    async def at_once(
        self, count: int, method: str, path: str, json: object = None
    ) -> list[httpx2.Response]:
        """Send a request from so many clients, each with a connection of its own."""
        async with asyncio.TaskGroup() as clients:
            sent = [
                clients.create_task(self.client.request(method, path, json=json))
                for _ in range(count)
            ]
        return [each.result() for each in sent]


@pytest.fixture
async def database(postgres_url: str) -> str:
    async with open_storage(postgres_url, migrate=True):
        pass
    return postgres_url


@asynccontextmanager
async def serving(database: str, **settings: str) -> AsyncIterator[Service]:
    """Serve a demonstration with two workers."""
    variables = {
        "LLAMAKEEP_DATABASE_URL": database,
        "LLAMAKEEP_LOCAL_MODEL": "none",
        "LLAMAKEEP_FLUSH_INTERVAL": "0.05",
        "LLAMAKEEP_SHUTDOWN_GRACE": "5",
    }
    more = {f"LLAMAKEEP_{name}".upper(): value for name, value in settings.items()}
    serve = ("serve", "--workers", "2", "--port", "0", "--demo")
    async with started(*serve, **(variables | more)) as process:
        line = await process.line()
        found = re.match(r"llamakeep serves on http://127\.0\.0\.1:([0-9]+) ", line)
        assert found, (line, await process.ended())
        service = Service(process, int(found[1]))
        yield service
        await service.client.aclose()


def asking(stub: StubServer) -> dict[str, str]:
    """Return the settings with which the stub is asked, and asked again."""
    return {
        "openai_base_url": stub.base_url,
        "default_model": "openai:parrot",
        "retry_interrupted": "true",
    }


async def owners(database: str) -> Counter[str]:
    """Return how many runs each node holds."""
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("SELECT owner FROM runs WHERE owner IS NOT NULL")
    finally:
        await connection.close()
    return Counter(row["owner"] for row in rows)


TALK = (head(), 0.01, delta("Once "), 0.01, delta("upon "), 0.01, delta("a time"))
WAYS = ["plain", "stream", "background"] * 2


async def test_both_workers_serve_and_each_prompt_is_told_once(database: str) -> None:
    async with (
        running(head(), delta("Once "), Then.HANG) as stub,
        serving(database, **asking(stub)) as service,
    ):
        told = [await service.process.line() for _ in range(3)]

        body = {"prompt": "Hi", "background": True}
        accepted = await service.at_once(CLIENTS, "POST", "/prompt/", body)
        held = await owners(database)
        parents = await service.children()

        service.process.signal(signal.SIGTERM)
        service.process.signal(signal.SIGTERM)
        await service.process.ended()

    assert told[2] == "Workers: 2"
    assert {response.status_code for response in accepted} == {202}
    assert len(parents) == 2
    assert len(held) == 2
    assert sum(held.values()) == CLIENTS
    # Each is the toss of a coin: less than three of 32 is one time in four million.
    assert min(held.values()) >= 3


async def test_killed_workers_are_replaced_and_nothing_is_lost(database: str) -> None:
    # A lease is 30 seconds here: that a worker is dead is known without it.
    told, stop = Told(), asyncio.Event()
    async with (
        running(*TALK, STOP, END) as stub,
        serving(database, **asking(stub)) as service,
    ):
        async with asyncio.TaskGroup() as clients:
            for way in WAYS:
                clients.create_task(post_until(stop, service, way, told))
            for _ in range(KILLS):
                workers = await service.workers(2)
                await asyncio.sleep(random.uniform(0.3, 0.6))
                victim = random.choice(workers)
                os.kill(victim, signal.SIGKILL)
                await service.workers(2, but=[victim])
            stop.set()
        await _until_healthy(service)
        await check_nothing_is_lost(service, told)

        service.process.signal(signal.SIGTERM)
        code, _, err = await service.process.ended()

    assert len(told.answers) > 10
    assert told.broken > 0
    assert err.count("was ended by SIGKILL; another one is started") == KILLS
    assert code == 0


async def test_workers_that_are_told_to_stop_under_load_keep_what_they_accepted(
    database: str,
) -> None:
    told, stop = Told(), asyncio.Event()
    async with running(*TALK, STOP, END) as stub:
        async with (
            serving(database, **asking(stub)) as service,
            asyncio.TaskGroup() as clients,
        ):
            for way in WAYS:
                clients.create_task(post_until(stop, service, way, told))
            async with asyncio.timeout(LONG_ENOUGH):
                while len(told.prompts) < 30:  # noqa: ASYNC110 - other tasks add them
                    await asyncio.sleep(0.01)
            # As systemd does it: to all processes of a service, which is no second one.
            for pid in [service.process.pid, *await service.children()]:
                os.kill(pid, signal.SIGTERM)
            code, _, err = await service.process.ended()
            stop.set()
        async with serving(database, **asking(stub)) as service:
            await check_nothing_is_lost(service, told)

    assert code == 0
    assert "Traceback" not in err


async def test_a_second_signal_does_not_wait_for_the_runs_of_workers(
    database: str,
) -> None:
    async with (
        running(head(), delta("Once "), Then.HANG) as stub,
        serving(database, **asking(stub) | {"shutdown_grace": "60"}) as service,
    ):
        body = {"prompt": "Hi", "background": True}
        await service.at_once(4, "POST", "/prompt/", body)
        workers = await service.children()
        service.process.signal(signal.SIGINT)
        await _until_stopping(service)
        service.process.signal(signal.SIGINT)
        code, _, err = await service.process.ended()
        left = [pid for pid in workers if _is_alive(pid)]

    assert code == 1
    assert "Stopped before all runs had ended." in err
    assert left == []


async def test_workers_do_not_outlive_a_killed_parent(database: str) -> None:
    async with (
        running(head(), delta("Once "), Then.HANG) as stub,
        serving(database, **asking(stub) | {"shutdown_grace": "60"}) as service,
    ):
        body = {"prompt": "Hi", "background": True}
        await service.at_once(4, "POST", "/prompt/", body)
        workers = await service.children()

        service.process.signal(signal.SIGKILL)

        async with asyncio.timeout(LONG_ENOUGH):
            while any(map(_is_alive, workers)):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.02)
        with pytest.raises(httpx2.ConnectError):
            await service.client.get("/healthz")

    assert len(workers) == 2


async def test_all_workers_count_requests_together(database: str) -> None:
    async with serving(database, rate_limit="40/hour") as service:
        told = [await service.process.line() for _ in range(3)]
        answers = await service.at_once(100, "GET", "/me/")

    assert told[2] == "Workers: 2, which count requests together"
    assert Counter(answer.status_code for answer in answers) == {200: 40, 429: 60}
    left = [a.headers["ratelimit"] for a in answers if a.status_code == 200]
    assert len({each.split(";")[1] for each in left}) == 40


@pytest.fixture
def _model(settings: Settings) -> None:
    if not has_engine() or find_weights(settings) is None:
        pytest.skip("The embedded model is not installed; `make run` installs it.")


@pytest.mark.usefixtures("_model")
async def test_there_is_one_process_of_the_embedded_model_and_another_when_it_dies(
    database: str,
) -> None:
    body = {"prompt": "Hi", "max_tokens": 2}
    async with serving(database, local_model="", local_threads="1") as service:
        answers = await service.at_once(8, "POST", "/prompt/", body)
        workers_and_model = await service.workers(3)
        of_workers = [
            child for pid in workers_and_model for child in await service.children(pid)
        ]
        [model] = [pid for pid in workers_and_model if await _is_model(pid)]
        os.kill(model, signal.SIGKILL)
        later = await service.at_once(8, "POST", "/prompt/", body)
        another = await service.workers(3, but=[model])

        service.process.signal(signal.SIGTERM)
        code, _, _ = await service.process.ended()

    assert {answer.status_code for answer in (*answers, *later)} == {200}
    assert of_workers == []
    assert len(set(another) - set(workers_and_model)) == 1
    assert code == 0
    assert not any(map(_is_alive, another))


async def _until_healthy(service: Service) -> None:
    """Wait for a worker, if the last one was killed before its neighbour was ready."""
    async with asyncio.timeout(LONG_ENOUGH):
        while True:
            with suppress(httpx2.TransportError):
                await service.client.get("/healthz")
                return
            await asyncio.sleep(0.02)


async def _until_stopping(service: Service) -> None:
    async with asyncio.timeout(LONG_ENOUGH):
        while (await service.client.get("/readyz")).status_code != 503:  # noqa: ASYNC110 - in other processes
            await asyncio.sleep(0.02)


async def _is_model(pid: int) -> bool:
    ps = await asyncio.create_subprocess_exec(
        *("ps", "-ww", "-o", "args=", "-p", str(pid)), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await ps.communicate()
    return b"local/server.py" in out


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def metrics_of(service: Service, url: str) -> dict[str, float]:
    # Each scrape has a connection of its own, so that any of the workers may answer.
    text = (await service.client.get(url, headers={"Connection": "close"})).text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pairs = [line.rpartition(" ") for line in lines]
    return {name: float(value) for name, _, value in pairs}


async def test_what_workers_count_adds_up_and_outlives_them(database: str) -> None:
    more = {"metrics_port": "0", "default_model": "openai:none"}
    base = {"openai_base_url": "http://127.0.0.1:1/v1"}
    counted = 'http_server_request_duration_seconds_count{http_request_method="GET",'
    counted += 'http_route="/about/",http_response_status_code="200"}'
    async with serving(database, **more, **base) as service:
        [*_, line] = [await service.process.line() for _ in range(3)]
        url = line.removeprefix("Metrics: ").strip()
        await service.at_once(32, "GET", "/about/")
        seen = [await metrics_of(service, url) for _ in range(4)]

        [victim, _] = workers = await service.workers(2)
        os.kill(victim, signal.SIGKILL)
        await service.workers(2, but=[victim])
        after = await metrics_of(service, url)

    assert [each[counted] for each in seen] == [32] * 4
    assert len(workers) == 2
    assert after[counted] == 32
