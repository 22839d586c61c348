"""What nobody should send: a problem that names the field, and nothing stored."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.api.serving import PROMPT, Client

JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024

WRONG_FIELDS: list[tuple[str, str]] = [
    ("{}", "prompt"),
    ('{"prompt": ""}', "prompt"),
    ('{"prompt": " \\t\\n\\u00a0\\u2003"}', "prompt"),
    ('{"prompt": null}', "prompt"),
    ('{"prompt": 5}', "prompt"),
    ('{"prompt": true}', "prompt"),
    ('{"prompt": ["Hi"]}', "prompt"),
    ('{"prompt": {"text": "Hi"}}', "prompt"),
    ('{"prompt": "a\\u0000b"}', "prompt"),
    ('{"prompt": "a\\ud800b"}', "prompt"),
    ('{"prompt": "a\\udc00"}', "prompt"),
    ('{"prompt": "\\udc00\\ud800"}', "prompt"),
    ('{"prompt": "a\ud800, which is no UTF-8 either"}', "prompt"),
    ('{"prompt": "Hi", "promt": "Hi"}', "promt"),
    ('{"prompt": "Hi", "user_id": "user_1"}', "user_id"),
    ('{"prompt": "Hi", "": 1}', ""),
    ('{"prompt": "Hi", "a.b": 1}', "a.b"),
    ('{"prompt": "Hi", "model": ""}', "model"),
    ('{"prompt": "Hi", "model": 5}', "model"),
    ('{"prompt": "Hi", "model": "a\\u0000"}', "model"),
    ('{"prompt": "Hi", "model": "%s"}' % ("x" * 257), "model"),
    ('{"prompt": "Hi", "system_prompt": "\\ud800"}', "system_prompt"),
    ('{"prompt": "Hi", "system_prompt": "\\u0000"}', "system_prompt"),
    ('{"prompt": "Hi", "system_prompt": []}', "system_prompt"),
    ('{"prompt": "Hi", "conversation_id": "\\ud800"}', "conversation_id"),
    ('{"prompt": "Hi", "conversation_id": "%s"}' % ("x" * 33), "conversation_id"),
    ('{"prompt": "Hi", "temperature": NaN}', "temperature"),
    ('{"prompt": "Hi", "temperature": Infinity}', "temperature"),
    ('{"prompt": "Hi", "temperature": -Infinity}', "temperature"),
    ('{"prompt": "Hi", "temperature": 1e999}', "temperature"),
    ('{"prompt": "Hi", "temperature": -0.1}', "temperature"),
    ('{"prompt": "Hi", "temperature": 5.1}', "temperature"),
    ('{"prompt": "Hi", "temperature": "hot"}', "temperature"),
    ('{"prompt": "Hi", "temperature": "NaN"}', "temperature"),
    ('{"prompt": "Hi", "top_p": -0.1}', "top_p"),
    ('{"prompt": "Hi", "top_p": 1.1}', "top_p"),
    ('{"prompt": "Hi", "top_p": NaN}', "top_p"),
    ('{"prompt": "Hi", "top_k": -2}', "top_k"),
    ('{"prompt": "Hi", "top_k": 0.5}', "top_k"),
    ('{"prompt": "Hi", "top_k": 1e400}', "top_k"),
    ('{"prompt": "Hi", "max_tokens": 0}', "max_tokens"),
    ('{"prompt": "Hi", "max_tokens": 1000001}', "max_tokens"),
    ('{"prompt": "Hi", "max_tokens": 1%s}' % ("0" * 400), "max_tokens"),
    ('{"prompt": "Hi", "max_tokens": NaN}', "max_tokens"),
    ('{"prompt": "Hi", "min_tokens": -1}', "min_tokens"),
    ('{"prompt": "Hi", "presence_penalty": 2.1}', "presence_penalty"),
    ('{"prompt": "Hi", "frequency_penalty": -2.1}', "frequency_penalty"),
    ('{"prompt": "Hi", "seed": -9223372036854775809}', "seed"),
    ('{"prompt": "Hi", "seed": 9223372036854775808}', "seed"),
    ('{"prompt": "Hi", "stop": [""]}', "stop"),
    ('{"prompt": "Hi", "stop": ""}', "stop"),
    ('{"prompt": "Hi", "stop": ["\\ud800"]}', "stop"),
    ('{"prompt": "Hi", "stop": [%s"x"]}' % ('"x",' * 16), "stop"),
    ('{"prompt": "Hi", "metadata": []}', "metadata"),
    ('{"prompt": "Hi", "metadata": {"a": 1}}', "metadata"),
    ('{"prompt": "Hi", "metadata": {"a": "\\u0000"}}', "metadata"),
    ('{"prompt": "Hi", "metadata": {"a": "\\ud800"}}', "metadata"),
    ('{"prompt": "Hi", "metadata": {"\\ud800": "a"}}', "metadata"),
    ('{"prompt": "Hi", "metadata": {"": "a"}}', "metadata"),
    ('{"prompt": "Hi", "metadata": {"a": "%s"}}' % ("x" * 513), "metadata"),
    ('{"prompt": "Hi", "metadata": {"%s": "a"}}' % ("x" * 65), "metadata"),
    (
        json.dumps({"prompt": "Hi", "metadata": {str(n): "" for n in range(17)}}),
        "metadata",
    ),
    ('{"prompt": "Hi", "stream": "perhaps"}', "stream"),
    ('{"prompt": "Hi", "background": 2}', "background"),
    ("[]", "body"),
    ('["prompt", "Hi"]', "body"),
    ('"Hi"', "body"),
    ("5", "body"),
    ("null", "body"),
    ("NaN", "body"),
    ("", "body"),
]

NOT_JSON: list[bytes] = [
    b"{",
    b"hello",
    b'{"prompt": "Hi"',
    b"{'prompt': 'Hi'}",
    b'{"prompt": "Hi",}',
    b'{"prompt": "Hi"} {}',
    b'{"prompt": "a\nb"}',
    b'{"prompt": "\xff\xfe"}',
    b'{"prompt": "\xc0\x80"}',
    '{"prompt": "Hi"}'.encode("utf-16")[:-1],
    b"\x00",
    b'{"prompt": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"prompt": "Hi", "max_tokens": 1' + b"0" * 5000 + b"}",
    b'{"prompt": "Hi", "x": [-' + b"9" * 5000 + b"]}",
]


@pytest.fixture
async def client(shared_client: Client) -> AsyncIterator[Client]:
    """A server in whose history nothing is, before and after."""
    yield shared_client
    assert await shared_client.history() == []


def check_problem(response: httpx2.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    return problem


@pytest.mark.parametrize(("body", "field"), WRONG_FIELDS)
async def test_a_wrong_field_is_named(client: Client, body: str, field: str) -> None:
    sent = body.encode(errors="surrogatepass")

    response = await client.post("/prompt/", content=sent, headers=JSON)

    problem = check_problem(response, 422)
    named = {one["field"].split(".")[0] for one in problem["errors"]}
    assert named == {field.split(".", maxsplit=1)[0]}
    for one in problem["errors"]:
        assert one["message"].endswith(".")
        assert one["message"] in problem["detail"]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:20]))
async def test_what_is_not_json_is_called_so(client: Client, body: bytes) -> None:
    response = await client.post("/prompt/", content=body, headers=JSON)

    problem = check_problem(response, 400)
    assert problem["type"] == "urn:llamakeep:problem:malformed-body"
    assert "stored" in problem["detail"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("path", ["/prompt/", "/login/"])
async def test_json_in_another_encoding_than_utf_8_is_refused(
    client: Client, path: str, encoding: str
) -> None:
    sent = json.dumps(PROMPT | {"username": "alice", "password": "secret1"})

    response = await client.post(path, content=sent.encode(encoding), headers=JSON)

    assert "not JSON in UTF-8" in check_problem(response, 400)["detail"]


@pytest.mark.parametrize("path", ["/prompt/", "/login/"])
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (gzip.compress(b'{"prompt": "Hi"}'), "compressed"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"prompt": 1' + b"0" * 5000 + b"}", "thousands of digits"),
    ],
    ids=["gzip", "nested", "digits"],
)
async def test_what_is_wrong_with_a_body_that_cannot_be_parsed_is_said(
    client: Client, path: str, sent: bytes, reason: str
) -> None:
    headers = JSON | ({"Content-Encoding": "gzip"} if reason == "compressed" else {})

    response = await client.post(path, content=sent, headers=headers)

    assert reason in check_problem(response, 400)["detail"]


_CHAT = "/v1/chat/completions"
_RESPONSES = "/v1/responses"
_ANTHROPIC = "/v1/messages"
_NO_TYPES: tuple[Any, ...] = ([], {}, 5)
_WRONG_MESSAGES: list[tuple[str, Any]] = [
    *(
        (path, {"role": "user", "content": [{"type": kind, "text": "Hi"}]})
        for path in ("/prompt/", _CHAT, _RESPONSES, _ANTHROPIC)
        for kind in _NO_TYPES
    ),
    ("/prompt/", {"role": "user", "content": "Hi", "\ud800": 1}),
    (_CHAT, {"role": "user", "content": "Hi", "\ud800": 1}),
    (_CHAT, {"role": "assistant", "tool_calls": [{"\ud800": 1}]}),
    (_RESPONSES, {"role": "user", "content": "Hi", "\ud800": 1}),
    (_ANTHROPIC, {"role": "user", "content": [{"type": "text", "\ud800": 1}]}),
]


@pytest.mark.parametrize(("path", "message"), _WRONG_MESSAGES)
async def test_a_message_with_a_wrong_type_or_name_is_refused_by_every_api(
    shared_client: Client, path: str, message: Any
) -> None:
    name = "input" if path == _RESPONSES else "messages"
    body = {name: [message]} | ({"max_tokens": 9} if path == _ANTHROPIC else {})

    response = await shared_client.post(
        path, content=json.dumps(body).encode(), headers=JSON
    )

    assert response.status_code == (422 if path == "/prompt/" else 400), response.text
    assert "0" in response.text
    assert "log" not in response.text


async def test_half_of_a_surrogate_pair_in_a_name_is_called_so(client: Client) -> None:
    response = await client.post(
        "/prompt/", content=b'{"prompt": "Hi", "\\ud83d": 1}', headers=JSON
    )

    assert "UTF-8" in check_problem(response, 422)["detail"]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "multipart/form-data", "text/json"]
)
async def test_json_that_is_not_called_json_is_refused_with_the_way_out(
    client: Client, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    response = await client.post(
        "/prompt/", content=json.dumps(PROMPT).encode(), headers=headers
    )

    assert "Content-Type: application/json" in check_problem(response, 422)["detail"]


@pytest.mark.parametrize(
    "path",
    ["/prompt/", "/login/", "/keys/"],
)
async def test_not_more_wrong_fields_are_named_than_can_be_read(
    client: Client, path: str
) -> None:
    response = await client.post(path, json={f"k{n}": 1 for n in range(5000)})

    assert response.status_code in {400, 422}
    assert response.text.count("There is no such field") <= 200  # in detail and errors
    assert "more errors like these." in response.text


async def test_the_first_wrong_message_of_many_is_named(client: Client) -> None:
    response = await client.post("/v1/chat/completions", json={"messages": [1] * 5000})

    assert response.status_code == 400
    assert response.json()["error"]["message"] == (
        "messages[0]: It has to be an object."
    )


async def test_a_body_that_says_it_is_too_large_is_not_read(client: Client) -> None:
    body = json.dumps({"prompt": "x" * MIB}).encode()

    response = await client.post("/prompt/", content=body, headers=JSON)

    problem = check_problem(response, 413)
    assert problem["type"] == "urn:llamakeep:problem:body-too-large"
    assert "1.0MiB" in problem["detail"]


async def test_a_body_that_grows_too_large_is_not_read_to_its_end(
    client: Client,
) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"prompt": "'
        for _ in range(64):
            sent += 65536
            yield b"x" * 65536
        yield b'"}'

    response = await client.post("/prompt/", content=body(), headers=JSON)

    problem = check_problem(response, 413)
    assert problem["type"] == "urn:llamakeep:problem:body-too-large"
    assert sent <= MIB + 65536


async def test_an_unknown_model_is_named_with_the_way_out(client: Client) -> None:
    response = await client.post("/prompt/", json=PROMPT | {"model": "gpt-17"})

    problem = check_problem(response, 422)
    assert problem["type"] == "urn:llamakeep:problem:unknown-model"
    assert "gpt-17" in problem["detail"]
    assert "scripted" in problem["detail"]


@pytest.mark.parametrize(
    "path", ["/prompt/", "/v1/completions", "/replicate/v1/predictions"]
)
@pytest.mark.parametrize("is_second", [False, True])
async def test_a_request_of_two_users_is_nobodys(
    client: Client, path: str, is_second: bool
) -> None:
    theirs = client.headers["authorization"]
    both = [theirs, "Bearer of-somebody-else"]
    given = [("Authorization", each) for each in (both[::-1] if is_second else both)]

    response = await client.post(path, json=PROMPT, headers=given)

    assert response.status_code == 400
    assert "several headers `Authorization`" in response.text
    assert "Send one" in response.text


async def test_the_same_credentials_twice_are_those_of_one_user(client: Client) -> None:
    theirs = client.headers["authorization"]

    response = await client.get("/me/", headers=[("Authorization", theirs)] * 2)

    assert response.json()["username"] == "alice"


@pytest.mark.parametrize("path", ["/prompt/", "/v1/completions", "/keys/"])
@pytest.mark.parametrize("first", ["application/json", "text/plain"])
async def test_a_body_of_two_types_is_not_read(
    client: Client, path: str, first: str
) -> None:
    types = [first, "text/plain" if first != "text/plain" else "application/json"]
    headers = [("Content-Type", each) for each in types]

    response = await client.post(path, content=b"{}", headers=headers)

    assert response.status_code == 400
    assert "several headers `Content-Type`" in response.text


async def test_a_request_with_two_idempotency_keys_is_refused(client: Client) -> None:
    headers = [("Idempotency-Key", key) for key in ("a", "b")]

    response = await client.post("/prompt/", json=PROMPT, headers=headers)

    [error] = check_problem(response, 422)["errors"]
    assert error["field"] == "header.idempotency-key"


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "caf\u00e9", "tab\there"])
async def test_a_wrong_idempotency_key_is_named(client: Client, key: str) -> None:
    headers = {b"idempotency-key": key.encode()}

    response = await client.post("/prompt/", json=PROMPT, headers=headers)

    [error] = check_problem(response, 422)["errors"]
    assert error["field"] == "header.idempotency-key"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("limit=1e999", "limit"),
        ("limit=", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=run_00000000000000000000000000%0A", "cursor"),
        ("q=%00", "q"),
        ("q=" + "x" * 1001, "q"),
    ],
)
async def test_a_wrong_query_parameter_is_named(
    client: Client, query: str, field: str
) -> None:
    response = await client.get(f"/history/?{query}")

    [error] = check_problem(response, 422)["errors"]
    assert error["field"] == f"query.{field}"


@pytest.mark.parametrize(
    "run_id",
    [
        "run_00000000000000000000000000",
        "x",
        "run_",
        "..",
        "%00",
        "%ff",
        "%ed%a0%80",
        "run_%27%20OR%201=1",
        "x" * 5000,
    ],
)
@pytest.mark.parametrize(
    ("method", "suffix"),
    [("GET", ""), ("DELETE", ""), ("GET", "/stream"), ("POST", "/cancel")],
)
async def test_an_unknown_id_is_not_found(
    client: Client, method: str, suffix: str, run_id: str
) -> None:
    response = await client.request(method, f"/history/{run_id}{suffix}")

    if run_id != ".." or suffix:
        check_problem(response, 404)
    else:
        assert response.status_code < 500


@pytest.mark.parametrize("path", ["/nothing", "/prompt/x", "/history/a/b/c", "//", "/"])
async def test_an_unknown_path_is_not_found(client: Client, path: str) -> None:
    response = await client.get(path)

    assert "/docs" in check_problem(response, 404)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/prompt/", "POST"),
        ("GET", "/prompt", "POST"),
        ("PUT", "/prompt/", "POST"),
        ("GET", "/login/", "POST"),
        ("POST", "/history/", "DELETE, GET, HEAD, OPTIONS"),
        ("DELETE", "/healthz", "GET, HEAD, OPTIONS"),
        ("PUT", "/history/run_1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("OPTIONS", "/login/", "POST"),
        ("GET", "/history/run_1/cancel", "POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_one(
    client: Client, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)

    assert method in check_problem(response, 405)["detail"]
    assert allowed == response.headers["allow"]


@pytest.mark.parametrize(
    "body",
    ['{"prompt": "a secret \\u0000"}', '{"prompt": 5, "x": "a secret"}', '{"a secret'],
)
async def test_a_problem_does_not_repeat_what_was_sent(
    client: Client, body: str
) -> None:
    response = await client.post("/prompt/", content=body.encode(), headers=JSON)

    assert response.status_code in {400, 422}
    assert "a secret" not in response.text
