"""Whom a client asks for, and all that is done by that."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llamakeep.domain import Limits
from llamakeep.settings import Settings
from llamakeep.storage.history import stats
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider

CUSTOMER = "customer 4711 · =1+1"
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


async def ask(client: Client, end_user: str | None, **more: Any) -> str:
    body = {"prompt": "Hi", "end_user": end_user, **more}
    response = await client.post("/prompt/", json=body)
    assert response.status_code < 300, response.text
    return str(response.json()["id"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/prompt/", {"prompt": "Hi", "end_user": CUSTOMER}),
        ("/v1/chat/completions", CHAT | {"user": CUSTOMER}),
        ("/v1/chat/completions", CHAT | {"safety_identifier": CUSTOMER, "user": "x"}),
        ("/v1/completions", {"prompt": "Hi", "user": CUSTOMER}),
        ("/v1/responses", {"input": "Hi", "safety_identifier": CUSTOMER, "user": "x"}),
        ("/v1/responses", {"input": "Hi", "user": CUSTOMER, "safety_identifier": " "}),
    ],
)
async def test_whom_a_client_asks_for_is_kept_with_the_run(
    client: Client, path: str, body: dict[str, Any]
) -> None:
    response = await client.post(path, json=body)

    assert response.status_code == 200, response.text
    [run] = await client.history()
    shown = (await client.get(f"/history/{run['id']}")).json()
    assert (run["end_user"], shown["end_user"]) == (CUSTOMER, CUSTOMER)
    if path == "/v1/responses":
        read = (await client.get(f"{path}/{response.json()['id']}")).json()
        for facts in (response.json(), read):
            assert (facts["user"], facts["safety_identifier"]) == (CUSTOMER, CUSTOMER)


@pytest.mark.parametrize("given", [None, "", " \t"])
async def test_a_client_of_openai_may_name_no_end_user(
    client: Client, given: str | None
) -> None:
    response = await client.post("/v1/chat/completions", json=CHAT | {"user": given})

    assert response.status_code == 200
    assert [run["end_user"] for run in await client.history()] == [None]


@pytest.mark.parametrize("given", ["x" * 513, "a\0", 5])
async def test_an_end_user_that_cannot_be_kept_is_refused(
    client: Client, given: Any
) -> None:
    own = await client.post("/prompt/", json={"prompt": "Hi", "end_user": given})
    chat = await client.post("/v1/chat/completions", json=CHAT | {"user": given})

    assert own.json()["errors"][0]["field"] == "end_user"
    assert (chat.status_code, chat.json()["error"]["param"]) == (400, "user")
    assert await client.history() == []


async def test_an_end_user_is_exported_and_imported_as_it_was(client: Client) -> None:
    await ask(client, CUSTOMER)
    await ask(client, None)
    before = (await client.get("/history/export")).content
    table = (await client.get("/history/export?format=csv")).text
    await client.delete("/history/?all=true")

    sent = await client.post(
        "/history/import",
        content=before,
        headers={"Content-Type": "application/x-ndjson"},
    )

    assert sent.json() == {"imported": 2, "known": 0}
    assert (await client.get("/history/export")).content == before
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [row["end_user"] for row in rows] == [CUSTOMER, ""]
    found = (await client.get("/history/", params={"end_user": CUSTOMER})).json()
    assert [run["end_user"] for run in found["history"]] == [CUSTOMER]


async def test_an_end_user_that_is_a_formula_is_text_in_a_table(client: Client) -> None:
    await ask(client, "=1+1")

    table = (await client.get("/history/export?format=csv")).text

    assert "'=1+1" in table


async def test_the_history_of_one_end_user_can_be_read_alone(client: Client) -> None:
    his = [await ask(client, "4711") for _ in range(3)]
    for other in ("471", "47110", None):
        await ask(client, other)

    first = (await client.get("/history/?end_user=4711&limit=2")).json()
    cursor = first["next_cursor"]
    rest = (await client.get(f"/history/?end_user=4711&cursor={cursor}")).json()
    file = (await client.get("/history/export?end_user=4711")).text
    sums = (await client.get("/history/stats?end_user=4711")).json()["stats"]

    pages = [run["id"] for page in (first, rest) for run in page["history"]]
    assert pages == his[::-1]
    assert file.count("\n") == 3
    assert [each["runs"] for each in sums] == [3]


async def test_all_of_one_end_user_is_deleted_with_one_call(settings: Settings) -> None:
    never = asyncio.Event()
    provider = ScriptedProvider()
    async with connect(settings, provider) as client:
        for end_user in ("4711", "4711", "4712", None):
            await ask(client, end_user)
        await client.post(
            "/prompt/", json={"prompt": "Hi", "end_user": "4711"}, headers=BOB
        )
        provider.script = ["Half", never]
        await ask(client, "4711", background=True)

        response = await client.delete("/history/?end_user=4711")

        assert response.json() == {"deleted": 3}
        assert [run["end_user"] for run in await client.history()] == [None, "4712"]
        [his] = await client.history(**BOB)
        assert his["end_user"] == "4711"


@pytest.mark.parametrize(
    "query",
    [
        "end_users=4711",
        "enduser=4711",
        "End_User=4711",
        "end_user=",
        "end_user=%20",
        "end_user=4711&end_user=4712",
        "end_user=4711&all=true",
        "user=4711",
        "end_user=4711&status=",
    ],
)
async def test_a_mistyped_end_user_deletes_nothing(client: Client, query: str) -> None:
    for end_user in ("4711", "4712", None):
        await ask(client, end_user)

    response = await client.delete(f"/history/?{query}")

    assert response.status_code == 422
    assert "Nothing was deleted." in response.json()["detail"]
    assert len(await client.history()) == 3


async def test_end_users_are_summed_up_those_with_most_runs_first(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for end_user in ("a", "c", "b", "b", None, None, None):
        await ask(client, end_user)

    whole = (await client.get("/history/stats?by=end_user")).json()
    monkeypatch.setattr(stats, "MOST", 2)
    cut = (await client.get("/history/stats?by=end_user")).json()

    groups = [(each["group"], each["runs"]) for each in whole["stats"]]
    assert groups == [(None, 3), ("b", 2), ("a", 1), ("c", 1)]
    assert (whole["has_more"], cut["has_more"]) == (False, True)
    assert cut["stats"] == whole["stats"][:2]


@pytest.fixture
async def limited(
    settings: Settings, provider: ScriptedProvider
) -> AsyncIterator[Client]:
    """A server with a limit of two prompts a day for each end user."""
    limits = Limits(end_user_prompts_per_day=2)
    settings = settings.model_copy(update={"user_limits": limits})
    async with connect(settings, provider) as client:
        yield client


async def test_an_end_user_has_so_many_prompts_a_day(limited: Client) -> None:
    client = limited
    body = {"prompt": "Hi", "end_user": "4711"}
    for key in ("a", "b"):
        await client.post("/prompt/", json=body, headers={"Idempotency-Key": key})

    refused = await client.post("/prompt/", json=body)
    chat = await client.post("/v1/chat/completions", json=CHAT | {"user": "4711"})
    again = await client.post("/prompt/", json=body, headers={"Idempotency-Key": "b"})
    for other in ("4712", None, None, None):
        await ask(client, other)
    state = (await client.get("/me/limits")).json()
    await client.delete("/history/?end_user=4711")
    afterwards = await client.post("/prompt/", json=body)

    assert refused.status_code == chat.status_code == 429
    problem = refused.json()
    assert problem["type"] == "urn:llamakeep:problem:quota-exceeded"
    assert "'4711'" in problem["detail"]
    facts = problem["limit"]
    assert (facts["name"], facts["whose"]) == ("end_user_prompts_per_day", "user")
    assert (facts["limit"], facts["left"]) == (2, 0)
    assert 0 < int(refused.headers["retry-after"]) <= 24 * 3600
    assert again.status_code == afterwards.status_code == 200
    assert state == {"limits": []}


async def test_a_limit_of_a_key_counts_what_the_key_asked(client: Client) -> None:
    limits = {"end_user_prompts_per_day": 1, "concurrent_runs": 5}
    made = (await client.post("/keys/", json={"name": "x", "limits": limits})).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    await ask(client, "4711")
    body = {"prompt": "Hi", "end_user": "4711"}

    statuses = [
        (await client.post("/prompt/", json=body, headers=headers)).status_code
        for _ in range(2)
    ]
    await ask(client, "4711")

    assert made["limits"] == limits | dict.fromkeys(
        (
            "tokens_per_day",
            "tokens_per_month",
            "dollars_per_day",
            "dollars_per_month",
        )
    )
    assert statuses == [200, 429]
