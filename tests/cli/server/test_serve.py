"""Starting and stopping the server."""

import asyncio
import itertools
import re
import shlex
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from llamakeep.app import create_app
from llamakeep.errors import ProviderUnavailable
from llamakeep.server import describe_model
from llamakeep.settings import Settings
from tests.cli.conftest import Process, Type, said, started
from tests.fakes import ScriptedProvider
from tests.providers.stub_server import Then, delta, head, running_stub
from tests.waiting import LONG_ENOUGH


async def _origin(process: Process) -> str:
    """Return where the server that was just started is."""
    line = await process.line()
    found = re.match(r"llamakeep serves on (http://127\.0\.0\.1:[0-9]+) ", line)
    assert found, (line, await process.ended())
    return found[1]


def _client(origin: str) -> httpx2.AsyncClient:
    # Nothing here is encrypted, and loading certificates blocks.
    return httpx2.AsyncClient(
        base_url=origin, trust_env=False, verify=False, timeout=LONG_ENOUGH
    )


async def _until(client: httpx2.AsyncClient, path: str, text: str) -> None:
    async with asyncio.timeout(LONG_ENOUGH):
        while text not in (await client.get(path)).text:  # noqa: ASYNC110 - as `until`
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_server_says_where_it_is_and_how_to_begin_and_ends_when_told_to(
    fresh: Path,
) -> None:
    grace = {"LLAMAKEEP_SHUTDOWN_GRACE": "3600"}  # for which nothing waits
    async with started("serve", "--port", "0", **grace) as server:
        origin = await _origin(server)
        told = [await server.line() for _ in range(5)]
        page, _, setup_token = told[3].strip().partition("#")
        body = {"username": "root", "password": "long enough"}
        async with _client(origin) as client:
            made = await client.post("/setup/", json=body | {"token": setup_token})
            healthy = await client.get("/healthz")
        server.signal(signal.SIGTERM)
        code, out, err = await server.ended()

    assert healthy.status_code == 200
    assert "server" not in healthy.headers
    assert told[0].startswith("Model: none yet. Set REPLICATE_API_TOKEN")
    assert told[1] == f"Data: {fresh}"
    assert told[2].startswith("There are no users yet. This page creates the first")
    assert page == f"{origin}/welcome"
    assert made.json()["role"] == "admin"
    assert (code, out) == (0, "")
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
async def test_the_three_calls_of_a_demonstration_can_be_pasted() -> None:
    async with started("serve", "--port", "0", "--demo") as server:
        origin = await _origin(server)
        lines = [await server.line() for _ in range(6)]
        calls = [shlex.split(line) for line in lines[3:]]
        async with _client(origin) as client:
            responses = []
            for call in calls:
                pairs = list(itertools.pairwise(call))
                headers = [v.split(": ", 1) for n, v in pairs if n == "-H"]
                responses.append(
                    await client.request(
                        next((v for n, v in pairs if n == "-X"), "GET"),
                        next(word for word in call if word.startswith("http")),
                        headers=dict(headers),
                        content=next((v for n, v in pairs if n == "-d"), None),
                    )
                )

    assert [call[0] for call in calls] == ["curl"] * 3
    assert responses[0].json()["token"] == "token_alice"
    assert responses[1].json()["type"] == "urn:llamakeep:problem:no-provider"
    assert responses[2].json()["history"] == []


@pytest.mark.slow
async def test_beside_a_server_users_are_added_and_histories_read_but_nothing_served(
    fresh: Path,
) -> None:
    async with started("serve", "--port", "0") as server:
        origin = await _origin(server)
        body = {"username": "carol", "password": "long enough"}

        added, second, asked = await asyncio.gather(
            said("user", "add", "carol", "--password-stdin", stdin=b"long enough\n"),
            said("serve", "--port", "0"),
            said("ask", "Hi"),
        )
        listed = await said("history", "list", "--user", "carol")
        async with _client(origin) as client:
            login = await client.post("/login/", json=body)

    assert added[0] == 0, added
    assert login.status_code == 200
    assert listed == (0, "", "")
    assert second[:2] == asked[:2] == (1, "")
    belongs = f"belongs to another llamakeep process (pid {server.pid})"
    assert belongs in second[2]
    assert f"{fresh.name} " in second[2]
    assert belongs in asked[2]
    assert "llamakeep ask --server" in asked[2]
    assert second[2].count("\n") == asked[2].count("\n") == 1


def test_a_port_in_use_is_a_plain_message(typed: Type) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        refused = typed("serve", "--port", port)

    assert refused.exit_code == 1
    assert f"Cannot listen on 127.0.0.1, port {port}: it is in use." in refused.stderr


def test_the_host_and_the_port_may_be_settings(
    typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("LLAMAKEEP_PORT", port)
        refused = typed("serve")
        monkeypatch.setenv("LLAMAKEEP_HOST", "203.0.113.1")
        elsewhere = typed("serve")
        by_flag = typed("serve", "--host", "127.0.0.1", "--port", port)

    assert f"Cannot listen on 127.0.0.1, port {port}: it is in use" in refused.stderr
    assert f"Cannot listen on 203.0.113.1, port {port}" in elsewhere.stderr
    assert f"Cannot listen on 127.0.0.1, port {port}" in by_flag.stderr


def test_metrics_have_another_port_than_the_rest_also_at_another_address(
    typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    monkeypatch.setenv("LLAMAKEEP_METRICS_HOST", "127.0.0.2")
    monkeypatch.setenv("LLAMAKEEP_METRICS_PORT", port)

    refused = typed("serve", "--port", port)

    assert refused.exit_code == 2
    assert "Choose another LLAMAKEEP_METRICS_PORT, such as 9464." in refused.stderr


def test_a_host_that_does_not_exist_is_a_plain_message(typed: Type) -> None:
    refused = typed("serve", "--host", "203.0.113.1", "--port", "0")

    assert refused.exit_code == 1
    assert "Cannot listen on 203.0.113.1, port 0: " in refused.stderr


@pytest.mark.parametrize("wish", ["--demo", "LLAMAKEEP_DEMO"])
def test_a_demonstration_is_refused_where_others_could_reach_it(
    typed: Type, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    arguments = ["serve", "--port", "0", "--host", "0.0.0.0"]
    if wish.startswith("--"):
        arguments.append(wish)
    else:
        monkeypatch.setenv(wish, "1")

    refused = typed(*arguments)

    assert refused.exit_code == 2
    assert "Demo mode has well-known passwords" in refused.stderr


@pytest.mark.parametrize(
    ("address", "status"),
    [("127.0.0.1", 200), ("[::1]", 200), ("192.0.2.1", 403), ("[2001:db8::1]", 403)],
)
async def test_a_demonstration_answers_on_loopback_addresses_only(
    settings: Settings, address: str, status: int
) -> None:
    app = create_app(settings.model_copy(update={"demo": True}), providers=[])
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=transport, base_url=f"http://{address}:8000"
        ) as client,
    ):
        response = await client.get("/healthz")

    assert response.status_code == status
    if status == 403:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"] == "urn:llamakeep:problem:forbidden"


async def test_a_server_says_which_model_answers_or_why_none_does(
    settings: Settings,
) -> None:
    class Sulking(ScriptedProvider):
        async def default_model(self) -> str:
            raise ProviderUnavailable("It does not say.")

    told = []
    for provider in (ScriptedProvider(), Sulking()):
        app = create_app(settings, providers=[provider])
        async with app.router.lifespan_context(app):
            told.append(await describe_model(app))

    assert told == ["scripted:parrot", "none yet. It does not say."]


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
async def test_a_server_with_users_offers_no_set_up() -> None:
    added = await said(
        *("user", "add", "root", "--admin", "--password-stdin"), stdin=b"long enough\n"
    )
    async with started("serve", "--port", "0") as server:
        await _origin(server)
        await server.line()
        await server.line()
        server.signal(signal.SIGTERM)
        _, out, _ = await server.ended()

    assert added[1] == "The administrator root can log in now.\n"
    assert out == ""


@pytest.mark.slow
async def test_a_second_signal_does_not_wait_for_runs() -> None:
    async with (
        running_stub(head(), delta("Once "), Then.HANG) as stub,
        started(
            *("serve", "--port", "0", "--demo"),
            LLAMAKEEP_OPENAI_BASE_URL=stub.base_url,
            LLAMAKEEP_DEFAULT_MODEL="openai:parrot",
            LLAMAKEEP_SHUTDOWN_GRACE="3600",
        ) as server,
    ):
        origin = await _origin(server)
        async with _client(origin) as client:
            client.headers["Authorization"] = "Bearer token_alice"
            body = {"prompt": "Hi", "background": True}
            accepted = await client.post("/prompt/", json=body)
            await _until(client, "/history/", '"response":"Once "')
            server.signal(signal.SIGTERM)
            await _until(client, "/readyz", "server-stopping")
            refused = await client.post("/prompt/", json=body)
        server.signal(signal.SIGTERM)
        code, _, err = await server.ended()

    run_id = accepted.json()["id"]
    _, shown, _ = await said("history", "show", run_id, "--user", "alice")
    assert code == 1
    assert "Stopped before all runs had ended." in err
    assert refused.json()["type"] == "urn:llamakeep:problem:server-stopping"
    assert "\nstatus: interrupted\n" in shown
    assert shown.endswith("\n\nHi\n\nOnce \n")


@pytest.mark.slow
async def test_the_emulator_of_replicate_can_be_started_with_its_rules(
    tmp_path: Path,
) -> None:
    settings, rules = tmp_path / "settings.json", tmp_path / "rules.json"
    await asyncio.to_thread(settings.write_text, '{"api_token": "r8_mine"}')
    await asyncio.to_thread(rules.write_text, "[]")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    files = ("--settings", str(settings), "--rules", str(rules))
    async with started("replicate-emulator", "--port", port, *files) as emulator:
        told = await emulator.line()
        async with (
            _client(f"http://127.0.0.1:{port}") as client,
            asyncio.timeout(LONG_ENOUGH),
        ):
            while (account := await _account(client)) is None:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        emulator.signal(signal.SIGINT)
        code, _, err = await emulator.ended()

    assert told == (
        f"Replicate's API is at http://127.0.0.1:{port}/v1. Ctrl-C stops it."
    )
    assert account.status_code == 401
    assert (code, err) == (0, "")


async def _account(client: httpx2.AsyncClient) -> httpx2.Response | None:
    """Ask for the account, if somebody listens yet."""
    try:
        return await client.get("/v1/account")
    except httpx2.ConnectError:
        return None
