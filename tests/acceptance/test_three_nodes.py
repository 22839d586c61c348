"""Three servers on one PostgreSQL database, as their clients and operators see them."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2

from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import UserRole
from llamakeep.storage import open_storage
from tests.acceptance.processes import ServerProcess
from tests.acceptance.test_crashes import received
from tests.acceptance.test_nodes import NewNodes, begin, connection, new_nodes
from tests.waiting import until
from tests.wire import counted

__all__ = ["connection", "new_nodes"]

STREAMS = 50
READERS = 200
FEW = 60
"""Round trips to PostgreSQL a second: readers that poll would take 4 each."""


async def read(
    node: ServerProcess, run_id: str, grown: Callable[[str], object] = len
) -> str:
    """
    Return the text that a reader has at the end, who comes back when it breaks.

    Each time that there is more of it, `grown` is called with it.
    """
    text, last_id = "", ""
    while True:
        with suppress(httpx2.TransportError):
            stream = node.client.sse(
                f"/history/{run_id}/stream", headers={"Last-Event-ID": last_id}
            )
            async with stream as source:
                async for one in source:
                    if one.event == "done":
                        return text
                    if one.event in {"delta", "reset"}:
                        more = received(one.json())["text"]
                        text = more if one.event == "reset" else text + more
                        last_id = one.id
                        grown(text)
        await asyncio.sleep(0.1)


async def statuses(
    nodes: Sequence[ServerProcess],
    method: str,
    path: str,
    headers: dict[str, str],
    json: object = None,
) -> list[int]:
    """Send a request to each node, all at the same time."""
    answers = await asyncio.gather(
        *(
            each.client.request(method, path, headers=headers, json=json)
            for each in nodes
        )
    )
    return [each.status_code for each in answers]


async def test_what_an_administrator_changes_at_one_node_counts_at_all_of_them_at_once(
    new_nodes: NewNodes, postgres_url: str
) -> None:
    nodes = await new_nodes(3)
    token = new_access_token()
    async with open_storage(postgres_url) as storage:
        root = await storage.add_user("root", None, role=UserRole.ADMIN)
        carol = await storage.add_user("carol", None, is_service=True)
        await storage.add_access_token(root, digest(token), lifetime=timedelta(hours=1))
    as_root = {"Authorization": f"Bearer {token}"}
    path = f"/admin/users/{carol.id}"

    async def change(node: ServerProcess, method: str, what: str, body: Any) -> Any:
        answer = await node.client.request(
            method, f"{path}{what}", headers=as_root, json=body
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    for node in nodes:
        made = await change(node, "POST", "/keys/", {"name": "robot"})
        key = {"Authorization": f"Bearer {made['key']}"}
        ask = ("POST", "/prompt/", key, {"prompt": "Hi", "background": True})
        look = ("GET", "/me/limits", key)
        assert await statuses(nodes, *look) == [200] * 3

        await change(node, "PUT", "/limits", {"tokens_per_day": 1})
        assert await statuses(nodes, *ask) == [429] * 3
        await change(node, "PUT", "/limits", {})
        assert await statuses(nodes, *ask) == [202] * 3

        await change(node, "PATCH", "", {"disabled": True})
        assert await statuses(nodes, *look) == [401] * 3
        await change(node, "PATCH", "", {"disabled": False})
        assert await statuses(nodes, *look) == [200] * 3

        await change(node, "DELETE", f"/keys/{made['id']}", None)
        assert await statuses(nodes, *look) == [401] * 3


async def test_two_hundred_readers_at_another_node_ask_the_database_for_nothing(
    new_nodes: NewNodes, postgres_url: str
) -> None:
    async with counted(postgres_url) as wire:
        [home] = await new_nodes(1, words=100, pause=0.2)
        [other] = await new_nodes(1, database_url=wire.url)
        run_id = await begin(home)
        begun: set[object] = set()
        async with asyncio.TaskGroup() as group:
            readers = [
                group.create_task(
                    read(other, run_id, lambda _: begun.add(asyncio.current_task()))
                )
                for _ in range(READERS)
            ]
            await until(lambda: len(begun) == READERS)
            before = wire.round_trips
            await asyncio.sleep(2)
            taken = wire.round_trips - before
            assert not any(each.done() for each in readers)

        assert taken / 2 < FEW
        ended = await home.run(run_id)
        assert {each.result() for each in readers} == {ended["response"]}
        assert ended["response"].count(" ") == 100
        await other.stop()


async def test_an_orderly_stop_amid_fifty_streams_that_are_read_elsewhere_loses_none(
    new_nodes: NewNodes, connection: asyncpg.Connection
) -> None:
    stopped, *others = await new_nodes(3, words=60, pause=0.05, shutdown_grace=0)
    run_ids = await asyncio.gather(*(begin(stopped) for _ in range(STREAMS)))
    async with asyncio.TaskGroup() as group:
        readers = [
            group.create_task(read(others[number % 2], run_id))
            for number, run_id in enumerate(run_ids)
        ]
        await asyncio.sleep(1)
        assert await stopped.stop(signal.SIGTERM) == 0

    kept = await others[0].history()
    assert [each.result() for each in readers] == [
        kept[run_id]["response"] for run_id in run_ids
    ]
    assert {kept[run_id]["response"].count(" ") for run_id in run_ids} == {60}
    attempts = await connection.fetch("SELECT attempt FROM runs")
    assert {each["attempt"] for each in attempts} == {2}


async def test_connections_that_are_ended_one_by_one_cost_no_run_and_no_reader(
    new_nodes: NewNodes, connection: asyncpg.Connection
) -> None:
    nodes = await new_nodes(3)
    run_ids = [await begin(node) for node in nodes]
    end_one = (
        "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " ORDER BY random() LIMIT 1) AS one"
    )
    ended = 0
    async with asyncio.TaskGroup() as group:
        readers = [
            group.create_task(read(node, run_id))
            for node in nodes
            for run_id in run_ids
        ]
        while not all(each.done() for each in readers):
            ended += await connection.fetchval(end_one)
            await asyncio.sleep(0.05)

    kept = await nodes[0].history()
    assert [each.result() for each in readers] == 3 * [
        kept[run_id]["response"] for run_id in run_ids
    ]
    assert ended > 20
    attempts = await connection.fetch("SELECT attempt FROM runs")
    assert {each["attempt"] for each in attempts} == {1}


async def test_a_clock_of_the_database_that_is_set_costs_no_living_node_its_runs(
    new_nodes: NewNodes, connection: asyncpg.Connection
) -> None:
    nodes = await new_nodes(3)
    run_ids = [await begin(node) for node in nodes]

    for hours in (-1, 1):  # as if the clock were set to an hour later, and back
        await connection.execute(
            "UPDATE nodes SET lease_until = lease_until + $1::interval",
            timedelta(hours=hours),
        )
        await asyncio.sleep(1)

    for run_id in run_ids:
        assert (await nodes[0].ended_run(run_id))["status"] == "succeeded"
    attempts = await connection.fetch("SELECT attempt FROM runs")
    assert {each["attempt"] for each in attempts} == {1}
