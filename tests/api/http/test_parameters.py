"""What a prompt may be asked with, on every API that takes prompts."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llamakeep.domain import UserRole
from llamakeep.settings import Settings
from tests.api.doors import CALLS, Call, Things, request_of
from tests.api.openapi import DOCUMENT, schema_of
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

HI: dict[str, dict[str, Any]] = {
    "/prompt/": {"prompt": "Hi"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/responses": {"input": "Hi"},
    "/replicate/v1/predictions": {"version": "scripted/parrot", "input": {}},
}
WITH_STOP = ["/prompt/", "/v1/chat/completions", "/v1/completions"]


async def asked(
    client: Client, provider: ScriptedProvider, path: str, fields: dict[str, Any]
) -> dict[str, Any]:
    """Return with what a provider is asked, for these fields."""
    body = HI[path]
    if "input" in body and path.startswith("/replicate"):
        body = body | {"input": {"prompt": "Hi"} | fields}
        headers = {"Prefer": "wait"}
    else:
        body, headers = body | fields, {}
    response = await client.post(path, json=body, headers=headers)
    assert response.is_success, response.text
    return provider.requests[-1].parameters.given()


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("\n", ("\n",)),
        ("\n\n", ("\n\n",)),
        (" ", (" ",)),
        ("\t", ("\t",)),
        ("\u00a0", ("\u00a0",)),
        (["Question:", "\n\n"], ("Question:", "\n\n")),
        ([" ", "\r\n"], (" ", "\r\n")),
        ([], None),
        (None, None),
    ],
)
@pytest.mark.parametrize("path", WITH_STOP)
async def test_an_answer_may_end_before_white_space(
    client: Client,
    provider: ScriptedProvider,
    path: str,
    stop: Any,
    expected: tuple[str, ...] | None,
) -> None:
    assert (await asked(client, provider, path, {"stop": stop})).get("stop") == expected


@pytest.mark.parametrize("name", ["stop", "stop_sequences"])
async def test_replicates_stops_may_be_white_space(
    client: Client, provider: ScriptedProvider, name: str
) -> None:
    path = "/replicate/v1/predictions"

    given = await asked(client, provider, path, {name: "\n\n, ,###"})

    assert given["stop"] == ("\n\n", " ", "###")


@pytest.mark.parametrize("path", WITH_STOP)
@pytest.mark.parametrize("stop", ["", [""], ["\n", ""]])
async def test_only_a_stop_without_any_character_is_empty(
    shared_client: Client, path: str, stop: Any
) -> None:
    response = await shared_client.post(path, json=HI[path] | {"stop": stop})

    assert response.status_code in {400, 422}
    assert "stop" in response.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 0),
        ("seed", 2**31),
        ("seed", 2**32),
        ("seed", 2**63 - 1),
        ("seed", -(2**63)),
        ("top_p", 0),
        ("top_p", 1),
        ("top_k", -1),
        ("top_k", 0),
        ("temperature", 0),
        ("temperature", 2),
        ("presence_penalty", -2),
        ("frequency_penalty", 2),
        ("max_tokens", 1),
        ("max_tokens", 1_000_000),
    ],
)
@pytest.mark.parametrize("path", HI)
async def test_what_openai_vllm_and_llama_cpp_take_is_taken(
    client: Client, provider: ScriptedProvider, path: str, name: str, value: Any
) -> None:
    if path == "/v1/responses":
        if name not in {"top_p", "temperature", "max_tokens"}:
            return
        sent = {"max_tokens": "max_output_tokens"}.get(name, name)
    else:
        sent = name

    given = await asked(client, provider, path, {sent: value})
    [kept] = await client.history()
    shown = await client.get(f"/history/{kept['id']}")

    assert given == {name: value}
    assert shown.json()["parameters"] == {name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 2**63), ("seed", -(2**63) - 1), ("top_p", 1.01), ("top_k", -2)],
)
@pytest.mark.parametrize("path", WITH_STOP)
async def test_what_none_of_them_takes_is_refused(
    shared_client: Client, path: str, name: str, value: Any
) -> None:
    response = await shared_client.post(path, json=HI[path] | {name: value})

    assert response.status_code in {400, 422}
    assert name in response.text


@pytest.mark.parametrize("path", WITH_STOP)
async def test_no_fewest_tokens_are_none(
    client: Client, provider: ScriptedProvider, path: str
) -> None:
    assert await asked(client, provider, path, {"min_tokens": 0}) == {}


@pytest.mark.parametrize("said", [{"content": None}, {"content": []}, {}])
async def test_an_assistant_may_have_said_nothing(
    client: Client, provider: ScriptedProvider, said: dict[str, Any]
) -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", **said},
        {"role": "user", "content": "Hello?"},
    ]

    chat = await client.post("/v1/chat/completions", json={"messages": messages})
    response = await client.post("/v1/responses", json={"input": messages})

    assert chat.status_code == response.status_code == 200
    for request in provider.requests:
        assert [one.content for one in request.messages] == ["Hi", "", "Hello?"]


@pytest.mark.parametrize("role", ["user", "system", "developer"])
async def test_everybody_else_says_something(shared_client: Client, role: str) -> None:
    messages = [{"role": role, "content": None}, {"role": "user", "content": "Hi"}]

    response = await shared_client.post(
        "/v1/chat/completions", json={"messages": messages}
    )

    assert response.json()["error"]["param"] == "messages[0].content"


BODIES = [
    f"{method.upper()} {path}"
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if "requestBody" in operation and path != "/history/import"
]
FIELDS = [
    (route, where, schema) for route in BODIES for where, schema in schema_of(route)
]


@pytest.fixture(scope="module")
async def admin(shared_client: Client) -> AsyncIterator[Client]:
    """Somebody who may call every route."""
    user = await shared_client.storage.add_user("root", None, role=UserRole.ADMIN)
    before = dict(shared_client.headers)
    shared_client.headers.update(await shared_client.let_in(user))
    yield shared_client
    shared_client.headers.update(before)


def _with(body: Any, where: tuple[str, ...], value: Any) -> Any:
    first, *rest = where
    inner = _with(body.get(first) or {}, tuple(rest), value) if rest else value
    return body | {first: inner}


@pytest.mark.parametrize(
    ("route", "where"),
    [
        (route, where)
        for route, where, kinds in FIELDS
        if {"integer", "number"} & kinds and "boolean" not in kinds
    ],
    ids=str,
)
@pytest.mark.parametrize("value", [True, False])
async def test_true_and_false_are_no_numbers(
    admin: Client, route: str, where: tuple[str, ...], value: bool
) -> None:
    call = CALLS.get(route, Call("{}"))
    body = json.dumps(_with(json.loads(call.body or "{}"), where, value))
    request = request_of(route, Things.nobodys(), Call(body))

    response = await admin.request(**request)

    assert response.status_code in {400, 422}, response.text
    assert where[-1] in response.text


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"max_tokens": True}},
        {"parameters": {"temperature": True}},
        {"parameters": {"seed": False}},
        {"usage": {"input_tokens": True}},
        {"usage": {"cost_usd": True}},
    ],
)
async def test_true_is_no_number_in_a_run_that_is_imported(
    client: Client, change: dict[str, Any]
) -> None:
    run = json.loads(CALLS["POST /history/import"].body or "") | change

    response = await client.post(
        "/history/import",
        content=json.dumps(run),
        headers={"content-type": "application/x-ndjson"},
    )

    assert response.status_code == 422
    assert "It has to be a number." in response.text


NULLED = [
    (route, where)
    for route, where, kinds in FIELDS
    if route.startswith("POST")
    and kinds
    and "required" not in kinds
    # Without it, there has to be something else.
    and (route, where)
    not in {
        ("POST /prompt/", ("prompt",)),
        ("POST /v1/responses/compact", ("input",)),
    }
]


@pytest.mark.parametrize(("route", "where"), NULLED, ids=str)
async def test_null_is_the_same_as_leaving_an_optional_field_out(
    settings: Settings, route: str, where: tuple[str, ...]
) -> None:
    if len(where) > 1:
        return
    async with connect(settings, ScriptedProvider()) as client:
        root = await client.storage.add_user("root", None, role=UserRole.ADMIN)
        login = await client.let_in(root)
        call = CALLS.get(route, Call("{}"))
        plain = await client.request(
            **request_of(route, Things.nobodys(), call) | {"headers": login | JSON}
        )
        body = json.dumps(_with(json.loads(call.body or "{}"), where, None))
        if "username" in body:
            body = body.replace("newcomer", "another")
        response = await client.request(
            **request_of(route, Things.nobodys(), Call(body))
            | {"headers": login | JSON}
        )

    assert response.status_code == plain.status_code, response.text


JSON = {"Content-Type": "application/json"}
