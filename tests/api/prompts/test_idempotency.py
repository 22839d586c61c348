"""Sending a prompt again with the same Idempotency-Key."""

import asyncio
import json
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import ByteSize
from sqlalchemy import update

from llamakeep.api.openai import chat as openai_chat
from llamakeep.api.openai.responses import request as responses_request
from llamakeep.api.prompts import routes as prompt
from llamakeep.api.replicate import inputs as replicate_inputs
from llamakeep.domain import NewRun
from llamakeep.domain.rates import parse_rates
from llamakeep.domain.values import value
from llamakeep.errors import ProviderTimeout
from llamakeep.settings import Settings
from llamakeep.storage.database.tables import runs
from tests.api.serving import BOB, PROMPT, Client, connect
from tests.fakes import ScriptedProvider

KEY = {"Idempotency-Key": "0b5e-7"}


async def test_the_same_key_and_body_answer_the_same_run(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await client.post("/prompt/", json=PROMPT, headers=KEY)
    provider.script = ["Something else"]

    second = await client.post("/prompt/", json=PROMPT, headers=KEY)

    assert second.json() == first.json()
    assert len(provider.requests) == len(await client.history()) == 1


async def test_the_same_key_can_be_streamed_again(client: Client) -> None:
    body = PROMPT | {"stream": True}
    first = await client.events("POST", "/prompt/", json=body, headers=KEY)

    second = await client.events("POST", "/prompt/", json=body, headers=KEY)

    assert second[0] == first[0]
    assert second[-1] == first[-1]
    assert "".join(e.data["text"] for e in second[1:-1]) == "Hello, world"
    assert len(await client.history()) == 1


@pytest.mark.parametrize(
    "change", [{"prompt": "Another"}, {"seed": 1}, {"metadata": {"a": "b"}}]
)
async def test_the_same_key_with_another_body_is_refused(
    client: Client, change: dict[str, object]
) -> None:
    first = await client.post("/prompt/", json=PROMPT, headers=KEY)

    response = await client.post("/prompt/", json=PROMPT | change, headers=KEY)

    assert response.status_code == 422
    assert response.json()["type"] == "urn:llamakeep:problem:idempotency-key-reused"
    assert first.json()["id"] in response.json()["detail"]
    assert len(await client.history()) == 1


async def test_the_same_key_while_the_run_goes_on_follows_it(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider(["It takes ", go_on, "time"])

    async with connect(settings, provider) as client:
        body = PROMPT | {"background": True}
        first = await client.post("/prompt/", json=body, headers=KEY)
        again = await client.post("/prompt/", json=body, headers=KEY)
        go_on.set()
        ended = await client.ended(first.json()["id"])

    assert (again.status_code, again.json()["id"]) == (202, ended["id"])
    assert ended["response"] == "It takes time"
    assert len(provider.requests) == 1


async def test_fifty_at_once_make_one_run_and_get_one_answer(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Only ", "once"])

    async with connect(settings, provider) as client:
        responses = await asyncio.gather(
            *(client.post("/prompt/", json=PROMPT, headers=KEY) for _ in range(50))
        )
        kept = await client.history()

    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert len(kept) == len(provider.requests) == 1


async def test_two_users_may_use_the_same_key(client: Client) -> None:
    alices = await client.post("/prompt/", json=PROMPT, headers=KEY)

    bobs = await client.post("/prompt/", json={"prompt": "Mine"}, headers=KEY | BOB)

    assert bobs.status_code == 200
    assert bobs.json()["id"] != alices.json()["id"]


async def test_a_failure_is_answered_again_and_not_tried_again(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(refusal=ProviderTimeout())

    async with connect(settings, provider) as client:
        first = await client.post("/prompt/", json=PROMPT, headers=KEY)
        provider.refusal = None
        second = await client.post("/prompt/", json=PROMPT, headers=KEY)

    assert first.status_code == second.status_code == 504
    assert second.json()["run_id"] == first.json()["run_id"]
    assert len(provider.requests) == 1


async def test_without_a_key_every_prompt_is_a_run(client: Client) -> None:
    for _ in range(2):
        await client.post("/prompt/", json=PROMPT)

    assert len(await client.history()) == 2


REQUESTS: dict[str, dict[str, object]] = {
    "/prompt/": {"prompt": "Hi", "seed": 1, "metadata": {"a": "1", "b": "2"}},
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 1,
        "user": "somebody",
    },
    "/v1/completions": {"prompt": "Hi", "max_tokens": 5},
    "/v1/responses": {"input": "Hi", "temperature": 1},
    "/replicate/v1/predictions": {
        "version": "scripted/parrot",
        "input": {"prompt": "Hi"},
    },
    "/replicate/v1/models/scripted/parrot/predictions": {"input": {"prompt": "Hi"}},
}
"""By path: whatever takes prompts."""


async def _ids(client: Client) -> list[str]:
    return [run["id"] for run in await client.history()]


@pytest.mark.parametrize("path", REQUESTS)
async def test_what_says_the_same_in_other_words_is_the_same_request(
    client: Client, provider: ScriptedProvider, path: str
) -> None:
    body = REQUESTS[path]
    reordered = dict(reversed(body.items())) | {"stream": False}
    spaced = json.dumps(reordered, indent=3).replace('"Hi"', '"\\u0048i"')
    spaced = spaced.replace('"temperature": 1', '"temperature": 1.0')

    headers = KEY | {"Content-Type": "application/json"}

    first = await client.post(path, json=body, headers=KEY)
    second = await client.post(f"{path.rstrip('/')}/", content=spaced, headers=headers)

    assert first.status_code in {200, 201}, first.text
    assert second.status_code == first.status_code, second.text
    assert second.json()["id"] == first.json()["id"]
    assert len(await client.history()) == 1
    assert len(provider.requests) == 1


@pytest.mark.parametrize("path", REQUESTS)
async def test_every_way_to_send_prompts_refuses_a_key_of_another_request(
    client: Client, path: str
) -> None:
    body = json.dumps(REQUESTS[path])
    first = await client.post(path, json=REQUESTS[path], headers=KEY)

    changed = json.loads(body.replace('"Hi"', '"Ho"'))
    response = await client.post(path, json=changed, headers=KEY)

    assert first.status_code in {200, 201}
    assert response.status_code == 422
    assert "was used for another request" in response.text
    assert len(await client.history()) == 1


@pytest.mark.parametrize("path", REQUESTS)
async def test_two_keys_on_one_request_are_refused(client: Client, path: str) -> None:
    keys = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]

    refused = await client.post(path, json=REQUESTS[path], headers=keys)

    assert refused.status_code == (400 if path.startswith("/v1/") else 422)
    assert "more than one" in refused.text
    assert await client.history() == []


async def test_one_key_that_came_twice_is_one(client: Client) -> None:
    twice = await client.post("/prompt/", json=PROMPT, headers=[*KEY.items()] * 2)

    assert (
        twice.json() == (await client.post("/prompt/", json=PROMPT, headers=KEY)).json()
    )


async def test_a_key_is_of_one_path(client: Client) -> None:
    await client.post("/prompt/", json={"prompt": "Hi"}, headers=KEY)

    response = await client.post("/v1/completions", json={"prompt": "Hi"}, headers=KEY)

    assert response.status_code == 422
    assert len(await client.history()) == 1


@pytest.mark.parametrize("path", REQUESTS)
async def test_fields_that_a_later_version_adds_change_no_digest(
    client: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.post(path, json=REQUESTS[path], headers=KEY)
    monkeypatch.setattr(
        "llamakeep.api.prompts.idempotency._older", lambda *_: b"another digest"
    )
    monkeypatch.setattr(
        "llamakeep.api.prompts.idempotency._older_own", lambda *_: b"another digest"
    )
    for module in (prompt, responses_request, openai_chat, replicate_inputs):
        monkeypatch.setattr(module, "NewRun", _LaterNewRun, raising=False)

    again = await client.post(path, json=REQUESTS[path], headers=KEY)

    assert again.status_code in {200, 201}, again.text
    assert len(await client.history()) == 1


@value
class _LaterNewRun(NewRun):
    later: str = "what was not thought of"


@pytest.mark.parametrize(
    ("path", "body", "digest"),
    [
        (
            "/prompt/",
            '{"prompt": "Hi"}',
            "19328549231be17eaf30f22029314a4f51240e8b155762dbee326905fc32ddee",
        ),
        (
            "/prompt/",
            (
                '{"prompt": "Hi", "model": "parrot", "system_prompt": "Be kind.", '
                '"max_tokens": 5, "min_tokens": 1, "temperature": 1, "top_p": 0.5, '
                '"top_k": 3, "presence_penalty": 1, "frequency_penalty": 0.5, '
                '"stop": "x", "seed": 7, "metadata": {"b": "1", "a": "2"}, '
                '"background": true}'
            ),
            "825c6e42f22d1afc8c18ae3656a46bc58547e6f93e3ffbb85529da19798bba1f",
        ),
        (
            "/v1/chat/completions",
            '{"messages": [{"role": "user", "content": "Hi"}]}',
            "b017ef3892cd4aa741c4d9aec9db4fb3cb421ec2750c7051130b0a7a60d1a993",
        ),
        (
            "/v1/chat/completions",
            (
                '{"messages": [{"role": "system", "content": "Be kind."}, '
                '{"role": "user", "content": "Hi"}, {"role": "assistant", "content": '
                '"Ho"}, {"role": "user", "content": '
                '[{"type": "text", "text": "Hi"}]}], '
                '"model": "parrot", "max_tokens": 5, "temperature": 1, "stop": ["x"], '
                '"metadata": {"b": "1"}}'
            ),
            "0f93fa67c93de6561db8a07c52e0c0d6713acced0fd370c774596d7b61c6ee72",
        ),
        (
            "/v1/chat/completions",
            (
                '{"messages": [{"role": "user", "content": "Hi"}], '
                '"max_completion_tokens": 5, "min_tokens": 1, '
                '"top_p": 0.5, "top_k": 3, '
                '"presence_penalty": 1, "frequency_penalty": 0.5, "seed": 7, '
                '"user": "me"}'
            ),
            "fd9a8a8869158be6bd58966a289b6c4758871cc42bdfae2c404f46c35e3986bb",
        ),
        (
            "/v1/completions",
            '{"prompt": "Hi", "max_tokens": 5, "stop": "x"}',
            "2afb092c87e5c7c6093d4043955e568bbddf02cb70bdc67f592e79112a897549",
        ),
        (
            "/v1/responses",
            (
                '{"input": "Hi", "instructions": "Be kind.", "max_output_tokens": 5, '
                '"temperature": 0.5}'
            ),
            "b0043c29168cc969dbae68c33d4a9967aacb10580b5ac220339cbdc616ba211a",
        ),
        (
            "/v1/responses",
            (
                '{"input": [{"role": "user", "content": "Hi"}, {"role": "assistant", '
                '"content": "Ho"}, {"role": "user", "content": "Hi"}], '
                '"metadata": {"b": "1"}}'
            ),
            "423bb760b42a439246eebA66fe8b1b2fcf7ff4493548b55d89aa967a08b1c246",
        ),
    ],
)
async def test_a_request_is_known_again_whose_run_an_older_version_kept(
    client: Client, path: str, body: str, digest: str
) -> None:
    headers = KEY | {"Content-Type": "application/json"}
    first = await client.post(path, content=body, headers=headers)
    assert first.is_success, first.text
    kept = update(runs).values(request_digest=bytes.fromhex(digest))
    await client.storage._database.write(
        lambda connection: connection.execute(kept).close()
    )

    again = await client.post(path, content=body, headers=headers)
    other = await client.post(
        path, content=body.replace('"Hi"', '"Hm"'), headers=headers
    )

    assert again.is_success, again.text
    assert again.json()["id"] == first.json()["id"]
    assert other.status_code == 422
    assert len(await client.history()) == 1


async def test_a_request_with_tools_is_none_that_an_older_version_kept(
    client: Client,
) -> None:
    path = "/v1/chat/completions"
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    await client.post(path, json=body, headers=KEY)
    older = "b017ef3892cd4aa741c4d9aec9db4fb3cb421ec2750c7051130b0a7a60d1a993"
    kept = update(runs).values(request_digest=bytes.fromhex(older))
    await client.storage._database.write(
        lambda connection: connection.execute(kept).close()
    )
    tool = {"type": "function", "function": {"name": "f"}}

    other = await client.post(path, json=body | {"tools": [tool]}, headers=KEY)
    again = await client.post(path, json=body | {"tools": []}, headers=KEY)
    quiet = await client.post(
        path, json=body | {"reasoning_effort": "none"}, headers=KEY
    )

    assert other.status_code == 422
    assert again.status_code == quiet.status_code == 200
    assert len(await client.history()) == 1


def _stop(client: Client, _: ScriptedProvider) -> None:
    client.engine.stop_accepting()


def _forget_the_model(_: Client, provider: ScriptedProvider) -> None:
    provider.known = ("another",)


def _fill_the_queue(client: Client, _: ScriptedProvider) -> None:
    client.engine._admission._most_runs = 0


def _honour_nothing(_: Client, provider: ScriptedProvider) -> None:
    provider.unsupported = frozenset({"seed", "temperature", "max_tokens"})


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize(
    "refuse", [_stop, _forget_the_model, _fill_the_queue, _honour_nothing]
)
async def test_a_known_key_is_answered_whatever_is_refused_now(
    client: Client,
    provider: ScriptedProvider,
    path: str,
    refuse: Callable[[Client, ScriptedProvider], None],
) -> None:
    first = await client.post(path, json=REQUESTS[path], headers=KEY)
    assert first.is_success, first.text
    refuse(client, provider)

    again = await client.post(path, json=REQUESTS[path], headers=KEY)
    other = await client.post(path, json=REQUESTS[path], headers=KEY | BOB)

    assert again.status_code == first.status_code, again.text
    assert again.json()["id"] == first.json()["id"]
    if refuse in {_stop, _fill_the_queue}:
        assert not other.is_success, other.text


async def test_a_known_key_is_answered_when_no_provider_is_left(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider()) as client:
        first = await client.post("/prompt/", json=PROMPT, headers=KEY)
    async with connect(settings) as client:
        again = await client.post("/prompt/", json=PROMPT, headers=KEY)
        other = await client.post("/prompt/", json=PROMPT)

    assert again.json() == first.json()
    assert other.status_code == 503


async def test_a_known_key_is_answered_when_what_it_refers_to_is_gone(
    client: Client,
) -> None:
    earlier = (await client.post("/v1/responses", json={"input": "Hi"})).json()
    [item] = earlier["output"]
    body = {
        "input": [
            {"type": "item_reference", "id": item["id"]},
            {"role": "user", "content": "And?"},
        ]
    }
    first = await client.post("/v1/responses", json=body, headers=KEY)
    assert first.is_success, first.text
    await client.delete(f"/v1/responses/{earlier['id']}")

    again = await client.post("/v1/responses", json=body, headers=KEY)
    other = await client.post("/v1/responses", json=body)

    assert again.json()["id"] == first.json()["id"]
    assert other.status_code in {400, 404}


_REFUSED_UNREAD: list[tuple[dict[str, Any], dict[str, str], int]] = [
    ({"rate_limit": parse_rates("1/hour")}, {}, 429),
    ({"address_rate_limit": parse_rates("1/hour")}, {}, 429),
    ({"max_body_size": ByteSize(40)}, {}, 413),
    (
        {"trusted_proxies": (ip_network("127.0.0.1"),)},
        {"X-Forwarded-Proto": "gopher"},
        400,
    ),
]


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize(("refusing", "headers", "status"), _REFUSED_UNREAD)
async def test_what_is_refused_before_its_key_is_looked_up_does_not_say_what_is_stored(
    settings: Settings,
    path: str,
    refusing: dict[str, Any],
    headers: dict[str, str],
    status: int,
) -> None:
    body = json.dumps(REQUESTS[path]) + " " * 40
    headers = headers | KEY | {"Content-Type": "application/json"}
    async with connect(settings, ScriptedProvider()) as client:
        first = await client.post(path, content=body, headers=headers)
    async with connect(
        settings.model_copy(update=refusing), ScriptedProvider()
    ) as client:
        if status == 429:
            await client.get("/me")

        again = await client.post(path, content=body, headers=headers)
    assert first.is_success, first.text
    assert again.status_code == status
    assert "othing was stored" not in again.text
    assert "under the same Idempotency-Key, is safe" in again.text
