"""Two users cannot see each other's anything, on any route there is or will be."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from llamakeep.app import create_app
from llamakeep.domain import new_id
from llamakeep.settings import Settings
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider

PATHS = create_app(Settings.model_construct()).openapi()["paths"]
NO_RUNS = ("{model}", "{owner}", "{credential}", "{key_id}", "{user_id}")
"""
Models are everybody's; keys are tested in `test_keys`, users in `test_admin`, and
credentials in `test_replicate_door_streams`.
"""
WITH_AN_ID = [
    (method.upper(), path)
    for path, methods in PATHS.items()
    for method in methods
    if "{" in path and not any(name in path for name in NO_RUNS)
]
PREFIXES = {
    "run_id": "run_",
    "completion_id": "chatcmpl-",
    "response_id": "resp_",
    "prediction_id": "",
}
"""How each kind of id begins; the rest is the run's."""


@pytest.fixture
async def going_on(settings: Settings) -> AsyncIterator[tuple[Client, str]]:
    """A server, and a run of bob's on it that goes on."""
    provider = ScriptedProvider(["A secret", asyncio.Event()])
    async with connect(settings, provider) as client:
        response = await client.post(
            "/prompt/", json={"prompt": "Psst", "background": True}, headers=BOB
        )
        yield client, response.json()["id"]


def with_id(path: str, run_id: str) -> str:
    """Return a route's path for a run, in its own spelling of the run's id."""
    rest = run_id.removeprefix("run_")
    for name, prefix in PREFIXES.items():
        path = path.replace(f"{{{name}}}", prefix + rest)
    return path


def seen(response: httpx2.Response, run_id: str) -> tuple[object, ...]:
    """Return all that a client can tell apart, but for the id it sent."""
    headers = {k: v for k, v in response.headers.items() if k != "x-request-id"}
    rest = run_id.removeprefix("run_").encode()
    return response.status_code, headers, response.content.replace(rest, b"?")


def test_there_are_routes_with_ids() -> None:
    assert len(WITH_AN_ID) >= 4
    for _, path in WITH_AN_ID:
        assert with_id(path, "run_x") != path, "a new kind of id"


@pytest.mark.parametrize(("method", "path"), WITH_AN_ID)
async def test_somebody_elses_run_looks_like_no_run(
    going_on: tuple[Client, str], method: str, path: str
) -> None:
    client, bobs = going_on
    nobodys = new_id("run_")

    at_bobs = await client.request(method, with_id(path, bobs))
    at_nobodys = await client.request(method, with_id(path, nobodys))

    assert at_bobs.status_code == 404
    assert seen(at_bobs, bobs) == seen(at_nobodys, nobodys)
    after = (await client.get(f"/history/{bobs}", headers=BOB)).json()
    assert after["status"] in {"starting", "processing"}


async def test_nobody_elses_runs_are_in_any_list_or_search(
    going_on: tuple[Client, str],
) -> None:
    client, bobs = going_on

    listed = await client.get("/history/")
    searched = await client.get("/history/?q=Psst")
    from_there = await client.get(f"/history/?cursor={bobs[:-1]}z")

    for response in (listed, searched, from_there):
        assert response.json()["history"] == []


async def test_somebody_elses_conversation_looks_like_no_conversation(
    going_on: tuple[Client, str],
) -> None:
    client, bobs = going_on
    run = (await client.get(f"/history/{bobs}", headers=BOB)).json()
    nobodys = new_id("conv_")

    async def go_on(conversation_id: str) -> httpx2.Response:
        body = {"prompt": "And?", "conversation_id": conversation_id}
        return await client.post("/prompt/", json=body)

    at_bobs = await go_on(run["conversation_id"])
    at_nobodys = await go_on(nobodys)

    assert at_bobs.status_code == 404
    assert seen(at_bobs, run["conversation_id"]) == seen(at_nobodys, nobodys)
