"""Predictions as Replicate's API shows them, in exact shapes."""

import asyncio
import re
from typing import Any

import httpx2
import pytest

from llamakeep.domain import RunStatus
from llamakeep.errors import ProviderUnavailable
from llamakeep.settings import Settings
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider

DOOR = "/replicate/v1"
CREATE = f"{DOOR}/models/scripted/parrot/predictions"
INPUT = {"prompt": "Say hello"}
WAIT = {"Prefer": "wait"}


async def create(
    client: Client, headers: dict[str, str] | None = None, **given: Any
) -> dict[str, Any]:
    response = await client.post(
        CREATE, json={"input": INPUT | given}, headers=headers or {}
    )
    assert response.status_code == 201, response.text
    prediction: dict[str, Any] = response.json()
    return prediction


async def get(client: Client, prediction: dict[str, Any]) -> dict[str, Any]:
    response = await client.get(prediction["urls"]["get"])
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def reach(client: Client, prediction: dict[str, Any], status: str) -> Any:
    """Wait until a prediction has a status, and return it."""
    for _ in range(500):
        found = await get(client, prediction)
        if found["status"] == status:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"{found['status']} is not {status}")


async def test_a_prediction_begins_with_no_output(client: Client) -> None:
    created = await create(client)

    assert created["status"] == "starting"
    assert created["output"] is None
    assert created["error"] is None
    assert created["logs"] == ""
    assert created["metrics"] == {}
    assert created["completed_at"] is None


async def test_a_prediction_that_was_waited_for_has_everything(client: Client) -> None:
    response = await client.post(CREATE, json={"input": INPUT}, headers=WAIT)

    answer = response.json()
    short_id = answer["id"]
    stream = answer["urls"].pop("stream")
    times = [answer.pop(f"{name}_at") for name in ("created", "started", "completed")]
    metrics = answer.pop("metrics")
    assert response.status_code == 201
    assert response.headers["preference-applied"] == "wait=60"
    assert answer == {
        "id": short_id,
        "model": "scripted/parrot",
        "version": "hidden",
        "input": INPUT,
        "output": ["Hello,", " world"],
        "logs": "",
        "error": None,
        "status": "succeeded",
        "data_removed": False,
        "source": "api",
        "urls": {
            "get": f"http://test{DOOR}/predictions/{short_id}",
            "cancel": f"http://test{DOOR}/predictions/{short_id}/cancel",
            "web": f"http://test/history/run_{short_id}",
        },
    }
    assert re.fullmatch(r"[0-9a-z]{26}", short_id)
    assert stream.startswith(f"http://test{DOOR}/streams/")
    assert times == sorted(times)
    assert all(time.endswith("Z") for time in times)
    assert metrics["input_token_count"] == 7
    assert metrics["output_token_count"] == 3
    assert metrics["total_time"] >= metrics["predict_time"] >= 0


async def test_addresses_are_on_the_host_that_the_client_named(client: Client) -> None:
    created = await create(client, {"Host": "localhost:8443"})

    assert {url.split("/")[2] for url in created["urls"].values()} == {"localhost:8443"}


@pytest.mark.slow
async def test_a_wait_that_is_over_answers_as_if_nothing_was_there_yet(
    client: Client, provider: ScriptedProvider
) -> None:
    """Clients take a prediction that is not `starting` for a whole answer."""
    more = asyncio.Event()
    provider.script = ["Half ", more, "way"]

    created = await create(client, {"Prefer": "wait=1"})
    more.set()

    ended = await reach(client, created, "succeeded")
    assert (created["status"], created["output"]) == ("starting", None)
    assert "".join(ended["output"]) == "Half way"


async def test_a_prediction_that_goes_on_shows_whole_words_only(
    client: Client, provider: ScriptedProvider
) -> None:
    more = asyncio.Event()
    provider.script = ["One two th", more, "ree"]
    created = await create(client)
    await client.written(f"run_{created['id']}", "One two th")

    before = await get(client, created)
    more.set()

    after = await reach(client, created, "succeeded")
    assert before["status"] == "processing"
    assert before["output"] == ["One", " two"]
    assert after["output"] == ["One", " two", " three"]


async def test_a_failure_is_told_in_the_prediction(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = ["Half", ProviderUnavailable("It broke off.")]

    failed = await create(client, WAIT)

    assert failed["status"] == "failed"
    assert failed["error"] == "It broke off."
    assert failed["output"] == ["Half"]


async def test_a_refusal_by_the_provider_is_told_in_the_prediction(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.refusal = ProviderUnavailable("It is down.")

    failed = await create(client, WAIT)

    assert (failed["status"], failed["error"]) == ("failed", "It is down.")
    assert failed["output"] is None


async def test_a_canceled_prediction_keeps_what_was_said(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = ["Half", asyncio.Event()]
    created = await create(client)
    await client.written(f"run_{created['id']}", "Half")

    response = await client.post(created["urls"]["cancel"])

    canceled = response.json()
    assert response.status_code == 200
    assert canceled["status"] == "canceled"
    assert canceled["output"] == ["Half"]
    assert canceled["error"] is None
    assert canceled["completed_at"]


async def test_canceling_what_has_ended_changes_nothing(client: Client) -> None:
    created = await create(client, WAIT)

    canceled = (await client.post(created["urls"]["cancel"])).json()

    assert canceled["status"] == "succeeded"


@pytest.mark.parametrize("status", [RunStatus.EXPIRED, RunStatus.INTERRUPTED])
async def test_no_status_is_one_that_clients_would_wait_for_for_ever(
    status: RunStatus,
) -> None:
    from llamakeep.api.replicate.predictions import STATUSES  # noqa: PLC0415 - its table is the point

    assert STATUSES[status] == "failed"
    assert STATUSES.keys() == set(RunStatus)


async def test_a_deadline_cancels_what_goes_on(
    client: Client, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.api.replicate.waiting.SHORTEST_DEADLINE", 0)
    provider.script = ["Half", asyncio.Event()]

    created = await create(client, {"Cancel-After": "1s"})

    assert created["deadline"] > created["created_at"]
    canceled = await reach(client, created, "canceled")
    assert canceled["output"] == ["Half"]


async def test_a_deadline_changes_nothing_about_what_ends_before(
    client: Client,
) -> None:
    ended = await create(client, WAIT | {"Cancel-After": "1h30m45s"})

    assert ended["status"] == "succeeded"


@pytest.mark.parametrize("given", ["", "4", "4s", "25h", "soon", "-9", "1d", "٣٠"])
async def test_a_deadline_that_makes_no_sense_is_refused(
    client: Client, given: str
) -> None:
    headers = {b"Cancel-After": given.encode()}

    response = await client.post(CREATE, json={"input": INPUT}, headers=headers)

    assert response.status_code == 422
    assert response.json()["invalid_fields"][0]["field"] == "header.cancel-after"
    assert await client.history() == []


async def test_two_deadlines_are_refused(client: Client) -> None:
    headers = [("Cancel-After", "1h"), ("Cancel-After", "2h")]

    response = await client.post(CREATE, json={"input": INPUT}, headers=headers)

    assert response.status_code == 422
    assert response.json()["invalid_fields"][0]["field"] == "header.cancel-after"
    assert await client.history() == []


async def test_a_prediction_is_in_the_history(client: Client) -> None:
    created = await create(client, WAIT, system_prompt="Be brief", max_new_tokens=9)

    [kept] = await client.history()
    assert kept["id"] == f"run_{created['id']}"
    assert kept["response"] == "Hello, world"
    assert kept["system_prompt"] == "Be brief"
    assert kept["parameters"] == {"max_tokens": 9}


async def test_what_came_in_by_another_door_can_be_read(client: Client) -> None:
    prompt = {"prompt": "Hi", "system_prompt": "Be brief", "stop": ["a", "b"]}
    run = (await client.post("/prompt/", json=prompt)).json()

    read = (await client.get(f"{DOOR}/predictions/{run['id'][4:]}")).json()

    assert read["output"] == ["Hello,", " world"]
    assert read["input"] == {
        "prompt": "Hi",
        "system_prompt": "Be brief",
        "stop_sequences": "a,b",
    }


async def test_an_imported_answer_can_be_read(client: Client) -> None:
    credentials = await client.storage.find_credentials("alice")
    assert credentials is not None
    run = await client.storage.add(credentials.user, "Old", "Gold")

    read = (await client.get(f"{DOOR}/predictions/{run.id[4:]}")).json()

    assert (read["model"], read["output"]) == ("imported/unknown", ["Gold"])


async def test_an_empty_answer_is_an_empty_list(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = []

    ended = await create(client, WAIT)

    assert (ended["status"], ended["output"]) == ("succeeded", [])


async def test_somebody_else_sees_no_prediction(client: Client) -> None:
    created = await create(client, WAIT)

    read = await client.get(created["urls"]["get"], headers=BOB)
    listed = await client.get(f"{DOOR}/predictions", headers=BOB)

    assert read.status_code == 404
    assert read.json()["status"] == 404
    assert listed.json() == {"next": None, "previous": None, "results": []}


async def pages(client: Client, url: str, way: str) -> list[list[str]]:
    found = []
    while url:
        page = (await client.get(url)).json()
        found.append([each["id"] for each in page["results"]])
        url = page[way]
    return found


async def test_pages_lead_to_everything_and_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.api.replicate.reading.PAGE_SIZE", 2)
    a, b, c, d, e = [(await create(client, WAIT))["id"] for _ in range(5)]
    last = f"{DOOR}/predictions?cursor=b{b}"

    forth = await pages(client, f"{DOOR}/predictions", "next")
    back = await pages(client, last, "previous")

    assert forth == [[e, d], [c, b], [a]]
    assert back == [[a], [c, b], [e, d]]


async def test_the_list_can_be_narrowed_by_time(client: Client) -> None:
    made = [await create(client, WAIT) for _ in range(3)]
    moment = made[1]["created_at"]

    async def listed(**query: str) -> list[str]:
        response = await client.get(f"{DOOR}/predictions", params=query)
        assert response.status_code == 200, response.text
        return [each["id"] for each in response.json()["results"]]

    before = await listed(created_before=moment)
    after = await listed(created_after=moment)

    # Ids know milliseconds, and predictions can be made faster than that.
    assert made[0]["id"] in {*before, *after}
    assert set(before).isdisjoint(after)
    assert {*before, *after} == {each["id"] for each in made}
    assert after[0] == made[2]["id"]
    assert await listed(created_after="0001-01-01T00:00:00") == [*after, *before]
    assert await listed(source="web") == []


@pytest.mark.parametrize("query", ["cursor=x", "created_after=now", "source=me"])
async def test_a_list_that_makes_no_sense_is_refused(
    client: Client, query: str
) -> None:
    response = await client.get(f"{DOOR}/predictions?{query}")

    assert response.status_code == 422


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token", "token"])
async def test_both_schemes_let_in(client: Client, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} token_alice"}

    response = await client.get(f"{DOOR}/account", headers=headers)

    assert response.json() == {
        "type": "user",
        "username": "alice",
        "name": "alice",
        "github_url": None,
    }


async def test_the_older_scheme_lets_in_nowhere_else(client: Client) -> None:
    headers = {"Authorization": "Token token_alice"}

    response = await client.get("/history/", headers=headers)

    assert response.status_code == 401


@pytest.mark.parametrize("given", ["", "Bearer r8_nobody", "Basic token_alice"])
async def test_a_bad_access_token_is_refused_as_replicate_does(
    client: Client, given: str
) -> None:
    headers = {"Authorization": given}

    response = await client.post(CREATE, json={"input": INPUT}, headers=headers)

    body = response.json()
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert (body["title"], body["status"]) == ("Unauthenticated", 401)
    assert body["detail"]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/predictions", "/v1 too many"),
        ("/deployments/a/b/predictions", "by its name"),
        ("/deployments", "by its name"),
        ("/files", "Files are not taken"),
        ("/trainings/abc/cancel", "not trained"),
        ("/collections/language-models", "no collections"),
        ("/hardware", "no hardware"),
        ("/nothing", "nothing at"),
    ],
)
async def test_what_is_not_there_says_so(client: Client, path: str, hint: str) -> None:
    response = await client.post(DOOR + path)

    assert response.status_code == 404
    assert hint in response.json()["detail"]


async def test_a_busy_server_says_when_to_come_back(settings: Settings) -> None:
    provider = ScriptedProvider(["Half", asyncio.Event()])
    full = settings.model_copy(update={"max_running": 1, "max_queued": 0})
    async with connect(full, provider) as client:
        await create(client)

        response = await client.post(CREATE, json={"input": INPUT})

    assert response.status_code == 503
    assert response.json()["retry_after"] == int(response.headers["retry-after"])


async def test_a_body_that_is_no_json_is_refused(client: Client) -> None:
    response = await client.post(
        CREATE, content=b"{", headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 400
    assert "JSON" in response.json()["detail"]


async def test_paths_answer_with_a_slash_at_the_end(client: Client) -> None:
    response: httpx2.Response = await client.get(f"{DOOR}/predictions/")

    assert response.status_code == 200
