"""What a request costs: statements, commits, and what the provider is asked."""

from collections.abc import AsyncIterator, Iterator
from itertools import groupby
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from llamakeep.domain import Limits
from llamakeep.settings import Settings
from tests.api.serving import PROMPT, PROMPTS, Client, connect
from tests.fakes import ScriptedProvider
from tests.providers.replicating import provider_at
from tests.providers.stub_server import running_stub, whole

WHOLE = {
    "id": "p1",
    "status": "succeeded",
    "output": ["one", " two"],
    "metrics": {"predict_time": 0.1},
}
"""A prediction that says nothing of tokens."""


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """The SQL that the driver is handed, from all connections opened from now on."""
    seen: list[str] = []

    def trace(connection: Any, _: object) -> None:
        connection.set_trace_callback(seen.append)

    event.listen(Pool, "connect", trace)
    yield seen
    event.remove(Pool, "connect", trace)


@pytest.fixture
async def client(
    quiet: Settings, provider: ScriptedProvider, statements: list[str]
) -> AsyncIterator[Client]:
    async with connect(quiet, provider) as client:
        await client.post("/prompt/", json=PROMPT)
        statements.clear()
        provider.requests.clear()
        yield client


def counted(statements: list[str]) -> dict[str, int]:
    """Return how many statements of each kind there were."""
    # What a trigger does is traced as the statement that fired it, once more.
    verbs = [one.split(maxsplit=1)[0].upper() for one, _ in groupby(statements)]
    kinds = ("SELECT", "INSERT", "UPDATE", "COMMIT")
    return {kind: verbs.count(kind) for kind in kinds if kind in verbs}


@pytest.mark.parametrize("path", PROMPTS)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_prompt_of_whoever_was_here_before_takes_two_writes(
    client: Client,
    provider: ScriptedProvider,
    statements: list[str],
    path: str,
    is_streamed: bool,
) -> None:
    answer = await client.post(path, json=PROMPTS[path] | {"stream": is_streamed})

    assert answer.status_code == 200
    assert len(provider.requests) == 1
    assert counted(statements) == {"INSERT": 1, "UPDATE": 1, "COMMIT": 2}


@pytest.mark.parametrize(
    ("body", "requests", "cost"),
    [
        # All is said: what finds the answer again is kept together with it.
        (WHOLE, 1, {"INSERT": 1, "UPDATE": 1, "COMMIT": 2}),
        # What it took is still to be said, and must be found after a crash.
        (
            WHOLE | {"status": "processing"},
            2,
            {"SELECT": 1, "INSERT": 1, "UPDATE": 2, "COMMIT": 3},
        ),
        (WHOLE | {"metrics": {}}, 2, {"INSERT": 1, "UPDATE": 1, "COMMIT": 2}),
    ],
)
async def test_a_whole_answer_of_replicate_takes_no_more_than_any_other(
    quiet: Settings,
    statements: list[str],
    body: dict[str, Any],
    requests: int,
    cost: dict[str, int],
) -> None:
    async with running_stub(whole(201, body)) as stub:
        stub.script_of_get = (whole(200, WHOLE),)
        provider = provider_at(stub.base_url)
        async with connect(quiet, provider) as client:
            await client.post("/prompt/", json=PROMPT)
            statements.clear()
            stub.heard.clear()
            stub.script = (whole(201, body | {"id": "p2"}),)
            stub.script_of_get = (whole(200, WHOLE | {"id": "p2"}),)

            answer = (await client.post("/prompt/", json=PROMPT)).json()
            seen = list(statements)
            kept = await client.storage.known_handles("replicate", ["p1", "p2"])

    assert answer["response"] == "one two"
    assert kept == {"p1", "p2"}
    assert len(stub.heard) == requests
    assert counted(seen) == cost


async def test_a_prompt_that_goes_on_also_reads_what_was_said_before(
    client: Client, statements: list[str]
) -> None:
    first = (await client.post("/prompt/", json=PROMPT)).json()
    statements.clear()

    await client.post(
        "/prompt/", json=PROMPT | {"conversation_id": first["conversation_id"]}
    )

    # How much there is, before any of it is loaded; then the texts.
    assert counted(statements) == {"SELECT": 3, "INSERT": 1, "UPDATE": 1, "COMMIT": 2}


async def test_limits_take_a_look_and_two_writes_more_in_the_same_commits(
    quiet: Settings, provider: ScriptedProvider, statements: list[str]
) -> None:
    settings = quiet.model_copy(update={"user_limits": Limits(tokens_per_day=10**9)})
    async with connect(settings, provider) as client:
        await client.post("/prompt/", json=PROMPT)
        statements.clear()

        await client.post("/prompt/", json=PROMPT)
        seen = list(statements)

    assert counted(seen) == {"SELECT": 1, "INSERT": 1, "UPDATE": 3, "COMMIT": 2}


@pytest.mark.parametrize(
    ("path", "queries"), [("/history/", 1), ("/conversations/", 2)]
)
async def test_a_page_takes_a_query_or_two(
    client: Client, statements: list[str], path: str, queries: int
) -> None:
    answer = await client.get(path)

    assert answer.status_code == 200
    assert counted(statements) == {"SELECT": queries}
