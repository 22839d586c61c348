"""How Replicate's spelling of models and versions finds who serves them here."""

from typing import Any

import pytest

from llamakeep.api.replicate.names import model_of, version_of
from llamakeep.domain import Run, RunStatus, utc_now
from llamakeep.settings import Settings
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

DOOR = "/replicate/v1"
HASH = 64 * "a"


class Generous(ScriptedProvider):
    """Passes every name on, as an OpenAI-compatible server without a list does."""

    def serves(self, model: str) -> bool:
        return bool(model)


class Official(ScriptedProvider):
    """Serves whatever looks like one of Replicate's models."""

    def serves(self, model: str) -> bool:
        return "/" in model or model == HASH


def replicate() -> Official:
    return Official(name="replicate", models=["meta/llama"])


def local() -> ScriptedProvider:
    return ScriptedProvider(name="local", models=["smollm2-135m-instruct"])


def openai() -> Generous:
    return Generous(name="openai", models=["gpt", "llama3.2:1b"])


async def served_by(client: Client, path: str, body: dict[str, Any]) -> str:
    """Return the model that a create request was answered by."""
    body = {"input": {"prompt": "Hi"}} | body
    response = await client.post(DOOR + path, json=body, headers={"Prefer": "wait"})
    assert response.status_code == 201, response.text
    return str((await client.history())[0]["model"])


@pytest.mark.parametrize(
    ("written", "providers", "model"),
    [
        ("meta/llama", [replicate(), local()], "replicate:meta/llama"),
        ("openai/gpt", [replicate(), local()], "replicate:openai/gpt"),
        ("openai/gpt", [replicate(), openai()], "replicate:openai/gpt"),
        ("openai/gpt", [openai(), replicate()], "openai:gpt"),
        ("openai/gpt", [openai()], "openai:gpt"),
        ("openai/llama3.2:1b", [openai()], "openai:llama3.2:1b"),
        ("meta/llama", [openai()], "openai:meta/llama"),
        *[
            ("local/smollm2-135m-instruct", some, "local:smollm2-135m-instruct")
            for some in (
                [local()],
                [replicate(), local()],
                [openai(), local()],
                [replicate(), openai(), local()],
            )
        ],
    ],
)
async def test_a_model_is_found(
    settings: Settings, written: str, providers: list[ScriptedProvider], model: str
) -> None:
    async with connect(settings, *providers) as client:
        path = f"/models/{written}/predictions"

        assert await served_by(client, path, {}) == model


@pytest.mark.parametrize(
    ("version", "model"),
    [
        (HASH, f"replicate:{HASH}"),
        ("meta/llama", "replicate:meta/llama"),
        (f"meta/llama:{HASH}", f"replicate:meta/llama:{HASH}"),
        ("replicate:meta/llama", "replicate:meta/llama"),
        ("local/smollm2-135m-instruct", "local:smollm2-135m-instruct"),
        ("local:smollm2-135m-instruct", "local:smollm2-135m-instruct"),
        ("smollm2-135m-instruct", "local:smollm2-135m-instruct"),
        (version_of("local", "smollm2-135m-instruct"), "local:smollm2-135m-instruct"),
        (
            "local/smollm2-135m-instruct:"
            + version_of("local", "smollm2-135m-instruct"),
            "local:smollm2-135m-instruct",
        ),
        (version_of("replicate", "meta/llama"), "replicate:meta/llama"),
    ],
)
async def test_a_version_is_found(settings: Settings, version: str, model: str) -> None:
    async with connect(settings, replicate(), local()) as client:
        body = {"version": version}

        assert await served_by(client, "/predictions", body) == model


async def test_an_unknown_model_is_a_404(settings: Settings) -> None:
    async with connect(settings, local()) as client:
        response = await client.post(
            f"{DOOR}/models/meta/llama/predictions", json={"input": {"prompt": "Hi"}}
        )

        assert response.status_code == 404
        assert response.json()["status"] == 404
        assert await client.history() == []


@pytest.mark.parametrize("version", [HASH, "meta/llama", "nothing", "local/"])
async def test_an_unknown_version_is_a_422(settings: Settings, version: str) -> None:
    async with connect(settings, local()) as client:
        response = await client.post(
            f"{DOOR}/predictions",
            json={"version": version, "input": {"prompt": "Hi"}},
        )

        assert response.status_code == 422
        assert response.json()["title"] == "Invalid version or not permitted"
        assert await client.history() == []


async def test_a_server_without_providers_says_what_to_configure(
    settings: Settings,
) -> None:
    async with connect(settings) as client:
        response = await client.post(
            f"{DOOR}/models/meta/llama/predictions", json={"input": {"prompt": "Hi"}}
        )

    assert response.status_code == 503
    assert "REPLICATE_API_TOKEN" in response.json()["detail"]


async def test_models_are_listed_with_what_they_take(settings: Settings) -> None:
    picky = ScriptedProvider(
        name="local", models=["small"], unsupported=frozenset({"min_tokens", "stop"})
    )
    async with connect(settings, picky, openai()) as client:
        page = (await client.get(f"{DOOR}/models")).json()

    [small, *others] = page.pop("results")
    schemas = small["latest_version"]["openapi_schema"]["components"]["schemas"]
    assert page == {"next": None, "previous": None}
    assert (small["owner"], small["name"]) == ("local", "small")
    assert [each["name"] for each in others] == ["gpt", "llama3.2:1b"]
    assert {"prompt", "seed", "max_tokens"} <= schemas["Input"]["properties"].keys()
    assert "min_tokens" not in schemas["Input"]["properties"]
    assert "stop_sequences" not in schemas["Input"]["properties"]
    assert schemas["Output"]["x-cog-array-type"] == "iterator"


async def test_a_model_has_one_version_which_runs_it(settings: Settings) -> None:
    async with connect(settings, local()) as client:
        path = f"{DOOR}/models/local/smollm2-135m-instruct"
        model = (await client.get(path)).json()
        [listed] = (await client.get(f"{path}/versions")).json()["results"]
        version = (await client.get(f"{path}/versions/{listed['id']}")).json()

        assert model["latest_version"] == listed == version
        found = await served_by(client, "/predictions", {"version": version["id"]})
        assert found == "local:smollm2-135m-instruct"


async def test_a_version_at_replicate_can_be_looked_at(settings: Settings) -> None:
    async with connect(settings, replicate()) as client:
        response = await client.get(f"{DOOR}/models/meta/llama/versions/{HASH}")

    assert response.json()["id"] == HASH


@pytest.mark.parametrize(
    "path",
    [
        "a/b",
        "a/b/versions",
        f"local/smollm2-135m-instruct/versions/{HASH}",
        "local/smollm2-135m-instruct/versions/new",
        "a/b/versions/c",
    ],
)
async def test_what_is_not_served_is_a_404(settings: Settings, path: str) -> None:
    async with connect(settings, local()) as client:
        response = await client.get(f"{DOOR}/models/{path}")

    assert response.status_code == 404


def run_of(model: str, resolved_model: str | None) -> Run:
    return Run(
        id="run_1",
        user_id="user_1",
        status=RunStatus.SUCCEEDED,
        attempt=1,
        provider="replicate",
        model=model,
        prompt="Hi",
        created_at=utc_now(),
        resolved_model=resolved_model,
    )


@pytest.mark.parametrize(
    ("model", "resolved_model", "shown"),
    [
        ("meta/llama", "meta/llama", "meta/llama"),
        (f"meta/llama:{HASH}", None, "meta/llama"),
        (HASH, f"meta/llama:{HASH}", "meta/llama"),
        (HASH, None, f"replicate/{HASH}"),
    ],
)
def test_a_model_is_shown_with_its_owner(
    model: str, resolved_model: str | None, shown: str
) -> None:
    assert model_of(run_of(model, resolved_model)) == shown
