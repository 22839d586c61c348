"""Checks of databases, providers and other servers, that are there, broken or slow."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llamakeep.check.checks import run_checks
from llamakeep.cli import cli
from llamakeep.domain import utc_now
from llamakeep.storage import open_storage
from tests.check.conftest import MODELS, answering, look, the_only
from tests.torture.disks import small_disk
from tests.tracing.collecting import collecting
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.usefixtures("good")


def files_in(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


async def test_nothing_is_found_where_all_is_well_and_nothing_changes(
    good: Path,
) -> None:
    before = await asyncio.to_thread(files_in, good)

    found = await look()

    assert {each.level for each in found} == {"ok"}
    assert {"database", "disk", "files", "openai"} <= {each.about for each in found}
    assert await asyncio.to_thread(files_in, good) == before


async def test_the_command_ends_with_0_where_all_is_well() -> None:
    done = await asyncio.to_thread(CliRunner().invoke, cli, ["check"])

    assert done.exit_code == 0, done.stdout
    assert all(line.startswith("ok ") for line in done.stdout.splitlines())


async def test_a_server_on_the_same_file_is_not_disturbed() -> None:
    url = os.environ["LLAMAKEEP_DATABASE_URL"]
    async with open_storage(url) as storage:
        found = await look()
        await storage.add_user("carol", None)

        assert {each.level for each in found} == {"ok"}
        assert [each.username for each in await storage.list_users()] == ["carol"]


async def test_a_database_that_is_not_there_yet_is_no_fault(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", "sqlite:///new.db")

    found = await look()

    assert {each.level for each in found} == {"ok"}
    assert "new.db" not in await asyncio.to_thread(files_in, good)


async def test_no_model_at_all_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMAKEEP_OPENAI_BASE_URL")

    found = the_only(await look(), "model")

    assert found.level == "failed"
    assert "REPLICATE_API_TOKEN" in found.fix


@pytest.fixture
def full_disk() -> Iterator[Path]:
    """A folder in which there is no room, for this process at least."""
    with small_disk() as small:
        small.fill([os.getpid()])
        yield small.folder
        small.empty([os.getpid()])


@pytest.mark.slow
async def test_a_full_disk_fails(
    full_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", f"sqlite:///{full_disk}/new.db")

    found = the_only(await look(), "disk")

    assert "cannot be written" in found.message
    assert "space" in found.fix or "ulimit" in found.fix


async def test_a_key_that_is_refused_is_told_from_a_server_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusal = {"error": {"message": "Incorrect API key provided."}}
    async with answering({"/v1/models": (401, refusal)}) as url:
        monkeypatch.setenv("LLAMAKEEP_OPENAI_BASE_URL", f"{url}/v1")
        refused = the_only(await look(), "openai")
    gone = the_only(await look(), "openai")

    assert "LLAMAKEEP_OPENAI_API_KEY" in refused.fix
    assert "Start that server" in gone.fix
    assert f"curl {url}/v1/models" in gone.fix


async def test_a_base_url_without_its_path_fails(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMAKEEP_OPENAI_BASE_URL", provider.removesuffix("/v1"))

    found = the_only(await look(), "openai")

    assert found.level == "failed"
    assert "with its /v1" in found.fix


@pytest.mark.parametrize(("apart", "level"), [(90, "warning"), (3600, "failed")])
async def test_a_clock_that_is_off_is_found(
    apart: int, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = timedelta(seconds=apart)
    async with answering(
        {"/v1/models": (200, MODELS)}, now=lambda: utc_now() + off
    ) as url:
        monkeypatch.setenv("LLAMAKEEP_OPENAI_BASE_URL", f"{url}/v1")

        found = the_only(await look(), "openai")

    assert found.level == level
    assert "behind that of" in found.message
    assert "NTP" in found.fix


@pytest.fixture
async def frozen() -> AsyncIterator[str]:
    """A server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("variable", "value", "about"),
    [
        ("LLAMAKEEP_OPENAI_BASE_URL", "http://{}/v1", "openai"),
        ("LLAMAKEEP_DATABASE_URL", "postgresql://someone@{}/llamakeep", "database"),
    ],
)
async def test_a_server_that_is_frozen_fails_within_bounded_time(
    variable: str,
    value: str,
    about: str,
    frozen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value.format(frozen))

    found = the_only(await run_checks(longest=0.3), about)

    assert found.level == "failed"
    assert "within 0.3 s" in found.message


async def test_a_port_of_another_program_fails_and_one_of_ours_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with answering({}) as url:
        monkeypatch.setenv("LLAMAKEEP_PORT", url.rpartition(":")[2])
        other = the_only(await look(), "address")
    about = {"version": "1", "max_images_size": 1}
    async with answering({"/about/": (200, about)}) as url:
        monkeypatch.setenv("LLAMAKEEP_PORT", url.rpartition(":")[2])
        ours = await look()

    assert "Another program" in other.message
    assert "LLAMAKEEP_PORT" in other.fix
    assert {each.level for each in ours} == {"ok"}


async def test_a_port_on_which_nothing_answers_may_be_that_of_a_service_that_fails(
    frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.check.services._PATIENCE", 0.1)
    monkeypatch.setenv("LLAMAKEEP_PORT", frozen.rpartition(":")[2])

    found = the_only(await look(), "address")

    assert "does not answer" in found.message
    assert "journalctl --unit llamakeep" in found.fix


MODEL = "/v1/models/meta/llama-4-maverick-instruct"
SECRET = "/v1/webhooks/default/secret"
OTHER_SECRET = {"key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}


@pytest.mark.parametrize(
    ("bodies", "said", "fix"),
    [
        ({MODEL: (401, {"detail": "Unauthenticated"})}, "token", "REPLICATE_API_TOKEN"),
        ({}, "llama-4-maverick", "LLAMAKEEP_REPLICATE_MODEL"),
        (
            {MODEL: (200, {}), SECRET: (200, OTHER_SECRET)},
            "another secret",
            "Remove that setting",
        ),
    ],
    ids=["a wrong token", "a wrong model", "a wrong secret"],
)
async def test_what_replicate_refuses_is_found(
    bodies: dict[str, tuple[int, object]],
    said: str,
    fix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_some-token")
    monkeypatch.setenv("LLAMAKEEP_REPLICATE_WEBHOOK_SECRET", secret)
    monkeypatch.setenv("LLAMAKEEP_PUBLIC_URL", "https://llm.example.com")
    monkeypatch.setenv("LLAMAKEEP_TRUSTED_PROXIES", "127.0.0.1")
    async with answering(bodies) as url:
        monkeypatch.setenv("LLAMAKEEP_REPLICATE_BASE_URL", url)

        found = the_only(await look(), "replicate")

    assert found.level == "failed"
    assert said in found.message
    assert fix in found.fix
    assert "r8_some-token" not in found.message


async def test_a_collector_of_traces_has_to_be_there_and_at_its_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        good = await look()
        sent = collector.spans()
    gone = the_only(await look(), "traces")
    async with answering({"/": (200, {})}) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        elsewhere = the_only(await look(), "traces")

    assert {each.level for each in good} == {"ok"}
    assert "traces" in {each.about for each in good}
    assert sent == []
    assert (gone.level, elsewhere.level) == ("failed", "failed")
    assert "LLAMAKEEP_OTLP_ENDPOINT" in gone.fix
    assert "404" in elsewhere.message


async def test_valkey_that_is_gone_or_asks_for_a_password_fails(
    valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMAKEEP_RATE_LIMIT", "1000/second")
    monkeypatch.setenv("LLAMAKEEP_VALKEY_URL", valkey_server.url)
    good = await look()
    wrong = valkey_server.url.replace("//", "//someone:wrong@")
    monkeypatch.setenv("LLAMAKEEP_VALKEY_URL", wrong)
    refused = the_only(await look(), "valkey")
    await asyncio.to_thread(valkey_server.stop)
    gone = the_only(await look(), "valkey")

    assert {each.level for each in good} == {"ok"}
    assert "Correct user and password" in refused.fix
    assert "wrong" not in refused.message.replace("WRONGPASS", "")
    assert "Start Valkey" in gone.fix


@pytest.fixture
def written(good: Path) -> Callable[[str], Awaitable[None]]:
    """Return what writes `llamakeep.toml`."""

    async def write(text: str) -> None:
        await asyncio.to_thread((good / "llamakeep.toml").write_text, text)

    return write


def upstream_at(url: str, more: str = "") -> str:
    return f'[upstreams.own]\nkind = "openai"\nbase_url = "{url}"\n{more}'


async def test_an_upstream_of_the_file_is_asked_for_its_models(
    provider: str, written: Callable[[str], Awaitable[None]]
) -> None:
    await written(upstream_at(provider))

    found = [each for each in await look() if each.about == "own"]

    assert [(each.level, each.message) for each in found] == [
        ("ok", "It takes the key, and lists 2 models.")
    ]


@pytest.mark.parametrize(
    "case",
    [
        (404, "", "own", "failed", "upstreams.own.base_url"),
        (401, "", "own", "failed", "upstreams.own.key_variable"),
        (200, 'models = ["owl"]', "own", "warning", "upstreams.own.models"),
        (
            200,
            'models = ["parrot"]\n[limits.own]\ndollars_per_day = 1',
            "model",
            "warning",
            "upstreams.own.prices",
        ),
    ],
)
async def test_what_is_wrong_with_an_upstream_of_the_file_is_told_with_its_fix(
    written: Callable[[str], Awaitable[None]], case: tuple[int, str, str, str, str]
) -> None:
    status, more, about, level, fix = case
    async with answering({"/v1/models": (status, MODELS)}) as url:
        await written(upstream_at(f"{url}/v1", more))
        found = the_only(await look(), about)

    assert found.level == level
    assert fix in found.fix


async def test_an_upstream_of_the_file_that_is_not_there_fails(
    written: Callable[[str], Awaitable[None]], free_port: int
) -> None:
    url = f"http://me:secret@127.0.0.1:{free_port}/v1?key=secret"
    await written(upstream_at(url))

    found = the_only(await look(), "own")

    assert found.level == "failed"
    assert "'own'" in found.message
    assert f"`curl http://127.0.0.1:{free_port}/v1/models`" in found.fix
    assert "secret" not in found.message + found.fix


async def test_the_token_of_an_upstream_at_replicate_is_tried(
    written: Callable[[str], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEIR_TOKEN", "r8_wrong")
    path = "/v1/models/meta/llama-4-maverick-instruct"
    async with answering({path: (401, {"detail": "Unauthenticated"})}) as url:
        await written(
            f'[upstreams.own]\nkind = "replicate"\nbase_url = "{url}"\n'
            'key_variable = "THEIR_TOKEN"\n'
        )
        found = the_only(await look(), "own")

    assert found.level == "failed"
    assert "upstreams.own.key_variable" in found.fix
