"""Limits hold, and nothing stays reserved, through `kill -9`."""

import asyncio
from typing import Any

from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess

BUDGET = 33
EACH = len("Hi") + 16 + 10
SMALL = {"prompt": "Hi", "max_tokens": 10, "background": True}
LIMITS = {"tokens_per_month": BUDGET * EACH + EACH - 1, "concurrent_runs": 1000}


async def left(server: ServerProcess) -> dict[str, Any]:
    limits = (await server.client.get("/me/limits")).json()["limits"]
    return {each["name"]: each for each in limits}


async def test_a_budget_for_33_grants_33_of_200_and_survives_kills(
    new_server: NewServer,
) -> None:
    server = new_server(words=10, pause=60, settings={"user_limits": LIMITS})
    await server.start()

    answers = await asyncio.gather(
        *(server.client.post("/prompt/", json=SMALL) for _ in range(200))
    )
    granted = [a.json()["id"] for a in answers if a.status_code == 202]
    assert len(granted) == BUDGET
    assert sum(a.status_code == 429 for a in answers) == 200 - BUDGET
    assert (await left(server))["tokens_per_month"]["reserved"] > 0
    for pause in (60, 60, 0.01):  # at last, they may end
        server.order.pause = pause
        await server.restart()
        await server.client.get("/readyz")

    for run_id in granted:
        assert (await server.ended_run(run_id))["status"] == "succeeded"

    after = await left(server)
    # The talker says that it took one token, and ten for its words.
    assert after["tokens_per_month"]["used"] == BUDGET * 11
    assert {each["reserved"] for each in after.values()} == {0}
    assert (await server.client.post("/prompt/", json=SMALL)).status_code == 202
