"""Streams as Replicate sends them, and the addresses at which they are read."""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import pytest

from llamakeep.api.replicate import access
from llamakeep.credentials.tokens import digest, new_api_key
from llamakeep.domain import Actor, ApiKey, Scope, User, utc_now
from llamakeep.errors import ProviderUnavailable
from tests.api.serving import ALICE, BOB, Client
from tests.fakes import ScriptedProvider

DOOR = "/replicate/v1"
NOBODY = {"Authorization": ""}


async def create(client: Client, **headers: str) -> dict[str, Any]:
    response = await client.post(
        f"{DOOR}/models/scripted/parrot/predictions",
        json={"input": {"prompt": "Hi"}, "stream": True},
        headers=headers,
    )
    assert response.status_code == 201, response.text
    prediction: dict[str, Any] = response.json()
    return prediction


async def stream(client: Client, url: str, **headers: str) -> str:
    response = await client.get(url, headers=NOBODY | headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return response.text


async def ended(client: Client, prediction: dict[str, Any]) -> None:
    await stream(client, prediction["urls"]["stream"])


async def test_a_stream_brings_the_text_and_its_end(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = ["One", " two\nthree"]
    created = await create(client)
    await ended(client, created)

    told = await stream(client, created["urls"]["stream"])

    assert told == (
        ": hi\n\n"
        "event: output\nid: 13\ndata: One two\ndata: three\n\n"
        "event: done\nid: 13\ndata: {}\n\n"
    )


async def test_the_stream_of_a_prediction_takes_the_access_token_too(
    client: Client,
) -> None:
    created = await create(client)

    told = await stream(client, f"{created['urls']['get']}/stream", **ALICE)

    assert told.endswith("data: {}\n\n")


async def test_the_stream_of_a_prediction_takes_nobody_elses(client: Client) -> None:
    created = await create(client)
    url = f"{created['urls']['get']}/stream"

    anonymous = await client.get(url, headers=NOBODY)
    bobs = await client.get(url, headers=BOB)

    assert (anonymous.status_code, bobs.status_code) == (401, 404)


async def test_a_stream_goes_on_behind_the_last_event(client: Client) -> None:
    created = await create(client)
    await ended(client, created)

    told = await stream(client, created["urls"]["stream"], **{"Last-Event-ID": "5"})

    assert told == (
        ": hi\n\n"
        "event: output\nid: 12\ndata: , world\n\n"
        "event: done\nid: 12\ndata: {}\n\n"
    )


async def test_two_last_events_are_refused(client: Client) -> None:
    created = await create(client)

    response = await client.get(
        created["urls"]["stream"],
        headers=[("Last-Event-ID", "1"), ("Last-Event-ID", "2")],
    )

    assert response.status_code == 422
    assert "more than one" in response.text


async def test_a_stream_begins_at_the_start_behind_an_event_it_does_not_know(
    client: Client,
) -> None:
    created = await create(client)

    told = await stream(
        client, created["urls"]["stream"], **{"Last-Event-ID": "1690212292:1"}
    )

    assert told.startswith(": hi\n\nevent: output\n")
    assert "data: Hello" in told


async def test_a_reader_of_a_text_that_is_not_this_one_is_told_so(
    client: Client,
) -> None:
    created = await create(client)
    await ended(client, created)

    told = await stream(client, created["urls"]["stream"], **{"Last-Event-ID": "99"})

    assert "event: error\n" in told
    assert "begun anew" in told
    assert told.endswith('data: {"reason":"error"}\n\n')
    assert "event: output" not in told


async def test_a_failure_is_an_error_event(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = ["Half", ProviderUnavailable("It broke off.")]
    created = await create(client)

    told = await stream(client, created["urls"]["stream"])

    assert told.endswith(
        "event: output\nid: 4\ndata: Half\n\n"
        'event: error\nid: 4\ndata: {"detail":"It broke off."}\n\n'
        'event: done\nid: 4\ndata: {"reason":"error"}\n\n'
    )


async def test_a_canceled_stream_says_so(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = ["Half", asyncio.Event()]
    created = await create(client)
    reading = asyncio.create_task(stream(client, created["urls"]["stream"]))
    await client.written(f"run_{created['id']}", "Half")

    await client.post(created["urls"]["cancel"])

    told = await reading
    assert told.endswith('data: {"reason":"canceled"}\n\n')
    assert "event: error" not in told


async def test_a_server_that_stops_ends_streams_with_an_error_and_not_as_done(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.is_free = True  # it would be answered when the server is back
    provider.script = ["Half", asyncio.Event()]
    created = await create(client)
    reading = asyncio.create_task(stream(client, created["urls"]["stream"]))
    await client.written(f"run_{created['id']}", "Half")

    await client.engine.close()

    told = await reading
    assert "event: error\n" in told
    assert "event: done" not in told


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028"])
async def test_an_event_ends_where_some_clients_end_lines(
    client: Client, provider: ScriptedProvider, end: str
) -> None:
    """Replicate's library for Python would lose the rest of it."""
    provider.script = [f"One{end}two"]
    created = await create(client)

    told = await stream(client, created["urls"]["stream"])

    assert f"id: 4\ndata: One{end}\n\n" in told
    assert "id: 7\ndata: two\n\n" in told


@pytest.mark.parametrize("text", ["https://example.com", "data:text/plain,x"])
async def test_no_event_looks_like_a_file(
    client: Client, provider: ScriptedProvider, text: str
) -> None:
    """Replicate's library for Python breaks at what begins like an address."""
    provider.script = [text]
    created = await create(client)

    told = await stream(client, created["urls"]["stream"])

    assert f"id: 1\ndata: {text[0]}\n\n" in told
    assert f"data: {text[1:]}\n\n" in told


async def test_an_address_of_a_stream_leads_to_no_other(client: Client) -> None:
    first, second = await create(client), await create(client)
    forged = first["urls"]["stream"].replace(first["id"], second["id"])
    assert forged != first["urls"]["stream"]

    response = await client.get(forged, headers=NOBODY)

    assert response.status_code == 401


@pytest.mark.parametrize("place", [0, 30, 55, 60, -1])
async def test_an_address_of_a_stream_cannot_be_changed(
    client: Client, place: int
) -> None:
    start, _, credential = (await create(client))["urls"]["stream"].rpartition("/")
    changed = list(credential)
    changed[place] = "0" if changed[place] != "0" else "1"

    response = await client.get(f"{start}/{''.join(changed)}", headers=NOBODY)

    assert response.status_code == 401
    assert response.json()["title"] == "Unauthenticated"


async def test_garbage_is_no_address_of_a_stream(client: Client) -> None:
    response = await client.get(f"{DOOR}/streams/garbage", headers=ALICE)

    assert response.status_code == 401


async def test_an_address_of_a_stream_expires(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "STREAM_LIFETIME", -1)
    created = await create(client)

    response = await client.get(created["urls"]["stream"], headers=NOBODY)

    assert response.status_code == 401
    assert "Get the prediction again" in response.json()["detail"]


async def test_an_address_of_a_stream_ends_with_the_access_token_it_was_given_to(
    client: Client,
) -> None:
    alices = await client.let_in("carol")
    created = await create(client, **alices)
    url = created["urls"]["stream"]
    before = await client.get(url, headers=NOBODY)

    await client.post("/logout/", headers=alices)

    after = await client.get(url, headers=NOBODY)
    assert (before.status_code, after.status_code) == (200, 401)


async def test_an_address_of_a_stream_outlives_another_access_token(
    client: Client,
) -> None:
    carol = await client.storage.add_user("carol", None)
    first, second = await client.let_in(carol), await client.let_in(carol)
    created = await create(client, **first)

    await client.post("/logout/", headers=second)

    await stream(client, created["urls"]["stream"])


async def test_an_address_of_a_stream_ends_with_the_api_key_it_was_given_to(
    client: Client,
) -> None:
    carol = await client.storage.add_user("carol", None)
    secret = new_api_key()
    key = ApiKey(
        id="key_1",
        name="A program",
        hint=secret[-4:],
        scopes=frozenset({Scope.PROMPT}),
        models=None,
        created_at=utc_now(),
        expires_at=None,
        last_used_at=None,
    )
    await client.storage.add_api_key(carol, key, digest(secret))
    created = await create(client, Authorization=f"Token {secret}")
    url = created["urls"]["stream"]
    before = await client.get(url, headers=NOBODY)

    await client.storage.revoke_api_key(carol, "key_1")

    after = await client.get(url, headers=NOBODY)
    assert (before.status_code, after.status_code) == (200, 401)


async def test_nobody_who_is_disabled_reads_a_stream(client: Client) -> None:
    carol = await client.storage.add_user("carol", None)
    created = await create(client, **(await client.let_in(carol)))

    await client.storage.change_user(carol.id, is_disabled=True, actor=Actor())

    response = await client.get(created["urls"]["stream"], headers=NOBODY)
    assert response.status_code == 401


async def test_an_address_that_the_owner_could_not_sign_is_refused(
    client: Client,
) -> None:
    """Bob knows his own digest; it signs nothing of alice's."""
    created = await create(client)
    links = access.Links("http://test", digest("token_bob"))
    credentials = await client.storage.find_credentials("alice")
    assert credentials is not None
    alice: User = credentials.user
    run = await client.storage.get_run(alice, f"run_{created['id']}")

    response = await client.get(links.to_stream(run), headers=NOBODY)

    assert response.status_code == 401


async def test_the_address_of_a_deleted_run_leads_nowhere(client: Client) -> None:
    created = await create(client)
    await client.delete(f"/history/run_{created['id']}")

    response = await client.get(created["urls"]["stream"], headers=NOBODY)

    assert response.status_code == 404
    assert json.loads(response.content)["status"] == 404


async def test_an_address_of_a_stream_lasts_for_a_day(client: Client) -> None:
    created = await create(client)
    credential = created["urls"]["stream"].rpartition("/")[2]

    expires = int(credential[52:60], 16)

    day = timedelta(days=1).total_seconds()
    assert abs(expires - time.time() - day) < 60
