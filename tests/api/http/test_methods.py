"""HEAD and OPTIONS wherever GET is, and paths that are none."""

import pytest
from fastapi.routing import APIRoute

from llamakeep.app import create_app
from llamakeep.settings import Settings
from tests.api.serving import PROMPT, Client


def gets() -> list[str]:
    """Return every path that has GET, with something in the place of parameters."""
    app = create_app(Settings.model_construct(demo=True))
    paths = {
        route.path_format.format(**dict.fromkeys(route.param_convertors, "x"))
        for route in app.router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    }
    return sorted(paths)


@pytest.mark.parametrize("path", gets())
async def test_head_is_answered_like_get_without_the_body(
    shared_client: Client, path: str
) -> None:
    get = await shared_client.get(path)
    head = await shared_client.head(path)

    assert head.status_code == get.status_code
    assert head.content == b""
    changing = {"transfer-encoding"}
    assert dict(head.headers).keys() - changing == dict(get.headers).keys() - changing
    assert head.headers.get("content-type") == get.headers.get("content-type")
    assert head.headers.get("content-length") == get.headers.get("content-length")


@pytest.mark.parametrize("path", gets())
async def test_options_says_what_is_possible(shared_client: Client, path: str) -> None:
    response = await shared_client.options(path)

    assert response.status_code == 204
    assert {"GET", "HEAD", "OPTIONS"} <= set(response.headers["allow"].split(", "))
    assert response.content == b""


async def test_head_does_not_wait_for_a_stream_to_end(client: Client) -> None:
    run_id = await client.begin()
    await client.ended(run_id)

    response = await client.head(f"/history/{run_id}/stream")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "GET"])
async def test_what_is_nowhere_is_not_found_with_any_method(
    shared_client: Client, method: str
) -> None:
    assert (await shared_client.request(method, "/nowhere")).status_code == 404


async def test_head_is_not_possible_where_only_post_is(shared_client: Client) -> None:
    response = await shared_client.head("/prompt/")

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/generations",
        "/v1/chat/completions/a/input_tokens",
        "/v1/audio/speech",
        "/v1/responses/a/b/c",
    ],
)
async def test_what_openai_has_and_we_have_not_is_not_found(
    shared_client: Client, method: str, path: str
) -> None:
    response = await shared_client.request(method, path, json=PROMPT)

    assert response.status_code == 404
    assert "allow" not in response.headers
    assert path in response.json()["error"]["message"]


async def test_a_response_that_may_exist_has_its_methods(shared_client: Client) -> None:
    response = await shared_client.post("/v1/responses/resp_" + "0" * 26, json={})

    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
