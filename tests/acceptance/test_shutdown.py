"""Stopping in an orderly way, and one process for one database."""

import asyncio
import os
import signal
import time

from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.acceptance.test_crashes import Told, check_nothing_is_lost, post_until
from tests.waiting import until


async def test_a_server_that_is_told_to_stop_under_load_keeps_what_it_accepted(
    new_server: NewServer,
) -> None:
    server = new_server()
    told, stop = Told(), asyncio.Event()
    await server.start()
    await server.client.get("/healthz")  # it can be told to stop from now on

    async with asyncio.TaskGroup() as clients:
        for way in ["plain", "stream", "background"] * 2:
            clients.create_task(post_until(stop, server, way, told))
        await until(lambda: len(told.prompts) > 12)
        status = await server.stop(signal.SIGTERM)
        stop.set()
        await server.start()

    assert status == 0
    await check_nothing_is_lost(server, told)


async def test_a_run_that_outlasts_the_grace_is_kept_with_its_text(
    new_server: NewServer,
) -> None:
    server = new_server(words=60_000, pause=0.01, is_free=False)
    await server.start()
    body = {"prompt": "Hi", "background": True}
    run_id = (await server.client.post("/prompt/", json=body)).json()["id"]
    following = asyncio.create_task(server.client.get(f"/history/{run_id}/stream"))

    async def has_said_something() -> bool:
        return str((await server.run(run_id))["response"]).count(" ") > 10

    await until(has_said_something)
    asked = time.monotonic()
    status = await server.stop(signal.SIGTERM)
    took = time.monotonic() - asked

    await server.start()
    kept = await server.run(run_id)
    assert status == 0
    assert took > 0.25  # all the words take 600 seconds
    assert kept["status"] == "interrupted"
    assert kept["response"].count(" ") > 10
    assert "run-interrupted" in (await following).text


async def test_a_server_that_drains_is_not_ready_and_still_answers_prompts(
    new_server: NewServer,
) -> None:
    server = new_server(settings={"drain_seconds": 3600})
    await server.start()
    ready = await server.client.get("/readyz")
    assert server.pid is not None

    os.kill(server.pid, signal.SIGTERM)
    await until(lambda: _is_closing(server))
    unready = await server.client.get("/readyz")
    answer = await server.client.post("/prompt/", json={"prompt": "Hi"})
    status = await server.stop(signal.SIGTERM)

    assert (ready.status_code, unready.status_code) == (200, 503)
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
    assert status == 0


async def _is_closing(server: ServerProcess) -> bool:
    health = await server.client.get("/healthz")
    assert health.status_code == 200
    return health.headers.get("connection") == "close"


async def test_a_second_process_on_the_same_database_is_refused(
    new_server: NewServer,
) -> None:
    server, second = new_server(), new_server()
    await server.start()
    before = await server.client.post("/prompt/", json={"prompt": "Hi"})
    pid = server.pid

    await second.start()
    status = await second.ended()

    after = await server.client.post("/prompt/", json={"prompt": "Hi"})
    said = await asyncio.to_thread(second.log.read_text)
    assert status == 1
    assert f"belongs to another llamakeep process (pid {pid})" in said
    assert "Traceback" not in said
    assert before.status_code == after.status_code == 200
