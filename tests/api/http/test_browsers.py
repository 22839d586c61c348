"""What browsers are told, and which pages may call the server."""

import re

import pytest

from llamakeep.api.page.routes import POLICY
from llamakeep.settings import Settings
from tests.api.openapi import DOCUMENT
from tests.api.serving import ALICE, BOB, PROMPT, Client, connect
from tests.fakes import ScriptedProvider

SITE = "https://chat.example.com"
ALWAYS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Broken(ScriptedProvider):
    """Has a bug where nobody expects one."""

    async def default_model(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"),
        ("GET", "/history/"),
        ("GET", "/history/export"),
        ("GET", "/openapi.json"),
        ("GET", "/nowhere"),
        ("GET", "/prompt/"),
        ("POST", "/prompt/"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/replicate/v1/predictions"),
        ("DELETE", "/history/run_nobodys"),
    ],
)
async def test_every_answer_tells_browsers_to_keep_and_guess_nothing(
    shared_client: Client, method: str, path: str
) -> None:
    response = await shared_client.request(method, path)

    assert ALWAYS.items() <= response.headers.items()
    assert response.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]


async def test_a_body_that_is_too_large_gets_the_headers_as_well(
    shared_client: Client,
) -> None:
    response = await shared_client.post("/login/", content=b"x" * 2_000_000)

    assert response.status_code == 413
    assert ALWAYS.items() <= response.headers.items()


async def test_a_bug_gets_the_headers_as_well(settings: Settings) -> None:
    async with connect(settings, Broken(), raise_bugs=False) as client:
        response = await client.post("/prompt/", json=PROMPT)

    assert response.status_code == 500
    assert ALWAYS.items() <= response.headers.items()
    assert response.headers["cache-control"] == "no-store"


async def test_an_answer_says_each_thing_once(client: Client) -> None:
    streamed = await client.post("/prompt/", json=PROMPT | {"stream": True})

    names = [name for name, _ in streamed.headers.multi_items()]
    assert len(names) == len(set(names))


async def test_the_documentation_loads_nothing_from_elsewhere(
    shared_client: Client,
) -> None:
    response = await shared_client.get("/docs")

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == POLICY
    assert ALWAYS.items() <= response.headers.items()
    assert not re.search(r"https?:|//|data:", response.text)


async def test_the_document_says_what_each_field_of_a_prompt_means(
    shared_client: Client,
) -> None:
    response = await shared_client.get("/openapi.json")

    prompt = response.json()["components"]["schemas"]["PromptRequest"]
    assert prompt["properties"]["metadata"]["description"] == (
        "Up to 16 tags of your own, kept with the run."
    )


async def test_the_document_is_the_one_of_the_reference(shared_client: Client) -> None:
    response = await shared_client.get("/openapi.json")

    assert response.json() == DOCUMENT


async def test_pages_of_other_sites_are_not_let_in(shared_client: Client) -> None:
    preflight = await shared_client.options(
        "/prompt/",
        headers={"Origin": SITE, "Access-Control-Request-Method": "POST"},
    )
    read = await shared_client.get("/history/", headers={"Origin": SITE})

    for response in (preflight, read):
        assert "access-control-allow-origin" not in response.headers


async def test_pages_of_a_site_that_is_named_may_call(settings: Settings) -> None:
    settings = settings.model_copy(update={"cors_origins": (SITE,)})
    async with connect(settings, ScriptedProvider()) as client:
        preflight = await client.options(
            "/history/run_1",
            headers={
                "Origin": SITE,
                "Access-Control-Request-Method": "DELETE",
                "Access-Control-Request-Headers": "authorization,x-stainless-os",
            },
        )
        read = await client.get("/history/", headers=ALICE | {"Origin": SITE})
        refused = await client.get(
            "/history/", headers={"Origin": SITE, "Authorization": "Bearer no"}
        )

    assert preflight.status_code == 200
    allowed = preflight.headers["access-control-allow-headers"]
    assert allowed == "authorization,x-stainless-os"
    for response in (preflight, read, refused):
        assert response.headers["access-control-allow-origin"] == SITE
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    "origin",
    ["https://chat.example.com.evil.test", "http://chat.example.com", "null"],
)
async def test_pages_of_a_site_that_is_only_alike_may_not(
    settings: Settings, origin: str
) -> None:
    settings = settings.model_copy(update={"cors_origins": (SITE,)})
    async with connect(settings, ScriptedProvider()) as client:
        preflight = await client.options(
            "/history/",
            headers={"Origin": origin, "Access-Control-Request-Method": "GET"},
        )
        read = await client.get("/history/", headers=BOB | {"Origin": origin})

    assert preflight.status_code == 400
    for response in (preflight, read):
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    "host",
    [
        "rebind.example",
        "rebind.example:8000",
        "localhost.rebind.example",
        "127.0.0.1.rebind.example",
        "foo.localhost",
        "192.168.1.5",
        "0.0.0.0",
        "[2001:db8::1]",
        "128.0.0.1",
    ],
)
async def test_demo_mode_answers_to_no_name_of_others(
    shared_client: Client, host: str
) -> None:
    read = await shared_client.get("/history/", headers={"Host": host})
    page = await shared_client.get("/docs", headers={"Host": host})

    assert read.status_code == page.status_code == 403
    assert host.partition(":")[0] in read.json()["detail"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8000",
        "127.0.0.1:8000",
        "127.9.9.9",
        "[::1]:8000",
        "[::1]",
    ],
)
async def test_demo_mode_answers_to_names_of_this_computer(
    shared_client: Client, host: str
) -> None:
    own = {"Host": host, "Origin": f"http://{host.lower()}"}

    read = await shared_client.get("/history/", headers={"Host": host})
    of_page = await shared_client.get("/history/", headers=own)

    assert read.status_code == of_page.status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://localhost:3000", "file://"]
)
async def test_demo_mode_refuses_pages_of_other_sites(
    settings: Settings, shared_client: Client, origin: str
) -> None:
    headers = {"Host": "localhost:8000", "Origin": origin}
    refused = await shared_client.post("/prompt/", json=PROMPT, headers=headers)
    named = settings.model_copy(update={"cors_origins": (SITE,)})
    async with connect(named, ScriptedProvider()) as client:
        allowed = await client.get("/history/", headers=headers | {"Origin": SITE})

    assert refused.status_code == 403
    assert allowed.status_code == 200


async def test_a_server_for_others_answers_to_any_name(settings: Settings) -> None:
    real = settings.model_copy(update={"demo": False})
    async with connect(real, ScriptedProvider()) as client:
        response = await client.get("/healthz", headers={"Host": "llama.example"})

    assert response.status_code == 200
