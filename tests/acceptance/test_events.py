"""A tab whose servers are killed and stopped, and which shows what the history has."""

import asyncio
import os
import random
import signal
from contextlib import suppress
from functools import partial

import httpx2

from tests.acceptance.conftest import NewServer
from tests.acceptance.deploy.test_workers import asking, serving
from tests.acceptance.processes import Served
from tests.providers.stub_server import END, STOP, delta, head
from tests.providers.stub_server import running_stub as running
from tests.shown_runs import ShownRuns
from tests.waiting import LONG_ENOUGH, until

AT_ONCE = 4


class Tab(ShownRuns):
    """Reads over the network, and connects again whatever happens."""

    def __init__(self, server: Served) -> None:
        super().__init__()
        self._server = server
        self.events: list[str] = []
        self.problems: list[str] = []
        self.lost = 0
        """How often its connection broke."""

    async def stay(self) -> None:
        while True:
            with suppress(httpx2.TransportError):
                await self._read()
            self.lost += 1
            await asyncio.sleep(0.02)

    async def _read(self) -> None:
        client = self._server.client
        async with client.sse(
            "/events/", params=[*self.query], headers=self.headers
        ) as source:
            if source.response.status_code != 200:
                return
            async for one in source:
                self.events.append(one.event)
                self.take(one.event, one.json(), one.id)
                if one.event == "error":
                    self.problems.append(str(one.json()))
                if self.is_outdated:
                    # Events that come meanwhile wait, and count.
                    answer = await client.get("/history/?limit=200&text=10")
                    self.list(answer.json()["history"])

    def has_seen_the_ends_of(self, run_ids: list[str]) -> bool:
        return self.ended >= set(run_ids) and all(
            self.runs.get(run_id, {}).get("status") == "succeeded" for run_id in run_ids
        )


async def begin(server: Served, tab: Tab) -> list[str]:
    body = {"prompt": "Tell me a story", "background": True}
    run_ids = []
    for _ in range(AT_ONCE):
        answer = await server.client.post("/prompt/", json=body)
        assert answer.status_code == 202, answer.text
        run_ids.append(answer.json()["id"])
        tab.follow(run_ids[-1])
    return run_ids


def _has_more(tab: Tab, than: int) -> bool:
    return len(tab.events) > than


async def check(server: Served, tab: Tab, run_ids: list[str]) -> None:
    kept = {run_id: (await server.run(run_id))["response"] for run_id in run_ids}
    assert {run_id: tab.texts[run_id] for run_id in run_ids} == kept


async def test_a_server_that_is_killed_again_and_again_leaves_no_tab_behind(
    new_server: NewServer,
) -> None:
    server = new_server(words=250, pause=0.01)
    await server.start()
    tab = Tab(server)
    run_ids = await begin(server, tab)
    staying = asyncio.create_task(tab.stay())
    for _ in range(3):
        known = len(tab.events)
        await until(partial(_has_more, tab, known + random.randint(1, 20)))
        await server.restart()

    await until(lambda: tab.has_seen_the_ends_of(run_ids))

    staying.cancel()
    await check(server, tab, run_ids)
    assert tab.lost >= 3
    assert "reset" in tab.events  # it says something else each time


async def test_a_worker_that_is_killed_leaves_no_tab_behind(
    clean_postgres_url: str,
) -> None:
    words = [line for n in range(60) for line in (0.02, delta(f"w\u00f6rd{n} "))]
    async with (
        running(head(), *words, STOP, END) as stub,
        serving(clean_postgres_url, **asking(stub)) as service,
    ):
        tabs = [Tab(service) for _ in range(4)]
        run_ids = await begin(service, tabs[0])
        for tab in tabs[1:]:
            for run_id in run_ids:
                tab.follow(run_id)
        staying = [asyncio.create_task(tab.stay()) for tab in tabs]
        await until(lambda: any(tabs[0].texts.values()))
        workers = await service.workers(2)
        os.kill(random.choice(workers), signal.SIGKILL)

        await until(lambda: all(tab.has_seen_the_ends_of(run_ids) for tab in tabs))

        # Whatever server a tab is at, it gets the runs of all others.
        later = (await service.client.post("/prompt/", json={"prompt": "Hi"})).json()
        await until(
            lambda: all(
                tab.runs.get(later["id"], {}).get("finished_at") for tab in tabs
            )
        )
        for each in staying:
            each.cancel()
        for tab in tabs:
            await check(service, tab, run_ids)


async def test_a_server_that_stops_does_not_wait_for_tabs(
    new_server: NewServer,
) -> None:
    server = new_server(settings={"shutdown_grace": 60})
    await server.start()
    tab = Tab(server)
    staying = asyncio.create_task(tab.stay())
    await until(lambda: tab.events)

    async with asyncio.timeout(LONG_ENOUGH / 2):
        status = await server.stop(signal.SIGTERM)
    await until(lambda: tab.problems)

    staying.cancel()
    assert status == 0
    assert "server-stopping" in tab.problems[0]
    assert await asyncio.to_thread(server.log.read_text) == ""
