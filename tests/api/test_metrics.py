"""`GET /metrics`: who may read it, and what it counts."""

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from llamakeep.domain import Limits, UserRole
from llamakeep.errors import ModelNotFound, ProviderUnavailable, StorageUnavailable
from llamakeep.metrics.metrics import MOST_NOTED
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.api.serving import ALICE, BOB, PROMPT, Client, connect
from tests.debian import debian_program
from tests.fakes import ScriptedProvider

NO_LOGIN = {"Authorization": ""}
OF_PARROT = (
    'gen_ai_operation_name="chat",gen_ai_provider_name="scripted",'
    'gen_ai_request_model="parrot"'
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings by which this machine may read metrics without a login."""
    given = settings.model_dump() | {"metrics_networks": "127.0.0.1, ::1"}
    return Settings.model_validate(given)


async def scrape(client: Client) -> str:
    response = await client.get("/metrics", headers=NO_LOGIN)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


async def read(client: Client) -> dict[str, float]:
    """Return the value of each series, by its name and labels."""
    lines = (await scrape(client)).splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


async def test_administrators_may_read_metrics_and_other_users_may_not(
    settings: Settings, provider: ScriptedProvider
) -> None:
    closed = settings.model_copy(update={"metrics_networks": ()})
    async with connect(closed, provider) as client:
        root = await client.storage.add_user("root", None, role=UserRole.ADMIN)
        headers = await client.let_in(root)

        statuses = [
            (await client.get("/metrics", headers=each)).status_code
            for each in (headers, ALICE, NO_LOGIN)
        ]

    assert statuses == [200, 403, 401]


async def test_a_permitted_address_reads_metrics_without_a_login(
    settings: Settings, provider: ScriptedProvider
) -> None:
    statuses = []
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "::1", "10.0.0.1"):
        async with connect(settings, provider, address=address) as client:
            response = await client.get("/metrics", headers=NO_LOGIN)
            statuses.append(response.status_code)

    assert statuses == [200, 200, 200, 401]


async def test_a_run_is_counted_by_operation_provider_and_model(
    client: Client,
) -> None:
    await client.post("/prompt/", json=PROMPT)

    found = await read(client)

    for name in (
        "gen_ai_server_time_to_first_token_seconds_count",
        "gen_ai_server_time_per_output_token_seconds_count",
    ):
        assert found[f"{name}{{{OF_PARROT}}}"] == 1
    for name in (
        "gen_ai_server_request_duration_seconds_count",
        "gen_ai_client_operation_duration_seconds_count",
    ):
        assert found[f'{name}{{{OF_PARROT},error_type=""}}'] == 1
    usage = "gen_ai_client_token_usage_sum"
    assert found[f'{usage}{{{OF_PARROT},gen_ai_token_type="input"}}'] == 7
    assert found[f'{usage}{{{OF_PARROT},gen_ai_token_type="output"}}'] == 3
    ended = 'llamakeep_runs_total{gen_ai_provider_name="scripted",status="succeeded"}'
    assert found[ended] == 1
    assert found["llamakeep_run_wait_seconds_count"] == 1


async def test_a_failure_is_counted_by_its_code(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.refusal = ProviderUnavailable()
    await client.post("/prompt/", json=PROMPT)

    found = await read(client)

    other = OF_PARROT.replace("parrot", "_OTHER")
    name = "gen_ai_server_request_duration_seconds_count"
    assert found[f'{name}{{{other},error_type="provider-unavailable"}}'] == 1


async def test_models_that_clients_made_up_have_no_series(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.refusal = ModelNotFound()

    for number in range(3):
        body = PROMPT | {"model": f"scripted:made-up-{number}"}
        await client.post("/prompt/", json=body)

    assert "made-up" not in await scrape(client)


async def test_metrics_name_no_user_and_no_text(client: Client) -> None:
    alice = await client.alice()
    await client.post("/prompt/", json=PROMPT | {"prompt": "a secret"})

    text = await scrape(client)

    for private in (alice.id, "alice", "secret", "Hello"):
        assert private not in text


async def test_what_was_noted_is_summed_up_before_it_grows(client: Client) -> None:
    engine = client.engine
    await client.post("/prompt/", json=PROMPT)
    engine.metrics.ended *= MOST_NOTED - 1

    await client.post("/prompt/", json=PROMPT)
    await client.get("/healthz")

    assert not engine.metrics.ended
    ended = 'llamakeep_runs_total{gen_ai_provider_name="scripted",status="succeeded"}'
    assert (await read(client))[ended] == MOST_NOTED


async def test_commits_and_what_is_in_them_are_counted(client: Client) -> None:
    before = client.storage.commits
    await client.post("/prompt/", json=PROMPT)

    found = await read(client)

    commits = found["llamakeep_database_commit_duration_seconds_count"]
    assert before + 2 <= commits <= client.storage.commits
    assert found["llamakeep_database_operations_total"] >= commits


async def test_requests_that_repeat_a_key_and_streams_that_resume_are_counted(
    client: Client,
) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await client.post("/prompt/", json=PROMPT, headers=headers)
    await client.post("/prompt/", json=PROMPT, headers=headers)
    stream = f"/history/{first.json()['id']}/stream"
    await client.events("GET", stream, headers={"Last-Event-ID": "3"})

    found = await read(client)

    assert found["llamakeep_idempotent_repetitions_total"] == 1
    assert found["llamakeep_streams_resumed_total"] == 1


async def test_the_database_is_described(client: Client) -> None:
    await client.post("/prompt/", json=PROMPT)
    await client.post("/prompt/", json=PROMPT, headers=BOB)

    found = await read(client)

    assert found["llamakeep_database_up"] == 1
    assert found["llamakeep_database_history_rows"] == 2
    assert found["llamakeep_database_size_bytes"] > 4096
    assert found["llamakeep_database_disk_free_bytes"] > 0
    assert found['llamakeep_database_unfinished_runs{status="queued"}'] == 0
    assert found["llamakeep_database_lease_overdue_seconds"] == 0


async def test_the_limits_of_all_users_are_shown_with_what_is_left(
    settings: Settings, provider: ScriptedProvider
) -> None:
    limited = settings.model_copy(update={"server_limits": Limits(tokens_per_day=5000)})
    async with connect(limited, provider) as client:
        await client.post("/prompt/", json=PROMPT)

        found = await read(client)

    quota = 'llamakeep_server_quota{limit="tokens_per_day",part='
    assert found[f'{quota}"limit"}}'] == 5000
    assert found[f'{quota}"used"}}'] == 10
    assert found[f'{quota}"reserved"}}'] == 0


async def test_metrics_say_that_the_database_does_not_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Storage) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(Storage, "figures", fail)

    found = await read(client)

    assert found["llamakeep_database_up"] == 0
    assert "llamakeep_database_size_bytes" not in found
    assert found["llamakeep_database_operations_total"] >= 0


@pytest.fixture
def promtool() -> str:
    return debian_program("promtool", package="prometheus")


@pytest.mark.slow
async def test_promtool_finds_nothing_wrong(client: Client, promtool: str) -> None:
    await client.post("/prompt/", json=PROMPT)

    checking = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    said = await checking.communicate((await scrape(client)).encode())

    assert (checking.returncode, *said) == (0, b"", b"")


FILES = Path(__file__).parents[2] / "deploy"
BOARD = json.loads((FILES / "grafana" / "llamakeep.json").read_text("utf-8"))
RULES = (FILES / "prometheus" / "llamakeep.rules.yml").read_text("utf-8")
NAME = re.compile(r"\b(?:llamakeep|gen_ai_(?:server|client)|http_server|process)_\w+")


async def test_the_board_and_the_alerts_ask_for_metrics_that_there_are(
    client: Client,
) -> None:
    services = client.services
    series = [*await services.metrics.collect(), *await services.gauges.read()]
    ends = {"histogram": ("_bucket", "_sum", "_count")}
    known = {
        f"{each.family.name}{end}"
        for each in series
        for end in ends.get(each.family.kind, ("",))
    }
    queries = [
        target["expr"]
        for panel in BOARD["panels"]
        for target in panel.get("targets", ())
    ]
    of_rules = re.findall(r"expr: (?:>\n)?(.*?)\n +(?:for|labels):", RULES, re.DOTALL)

    asked = {name for query in (*queries, *of_rules) for name in NAME.findall(query)}

    assert len(queries) > 30
    assert len(of_rules) == RULES.count("alert:")
    assert asked <= known
