"""Runs whose upstream keeps the answer itself: it is found again, or not asked for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from llamakeep.domain import NewRun, Run, RunStatus, User, utc_now
from llamakeep.engine import Engine
from llamakeep.errors import AnswerExpired, LlamaKeepError, RunInterrupted
from llamakeep.providers import backoff
from llamakeep.providers.responses.requests import idempotency_key
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import WHY
from tests.engine.test_aliases import ANSWER, ended, open_of_file, passed, posts
from tests.providers.asking import request
from tests.providers.stub_server import running_stub
from tests.responses_events import message
from tests.responses_server import ResponsesServer, responses_server
from tests.storage.running import start
from tests.waiting import until

KEYED = 'idempotency_header = "Idempotency-Key"\n'
PLAIN = ""
SAID = [message("Because it is.")]


@pytest.fixture(autouse=True)
def poll_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_PAUSE", 0.005)


def toml_of(server: ResponsesServer, more: str = PLAIN, alias: str = "") -> str:
    """Return a file with an upstream that keeps answers, and what an alias has."""
    return (
        f'[upstreams.kept]\nkind = "openai"\nbase_url = "{server.base_url}"\n'
        f'models = ["m"]\nsilence_timeout = 1\nbackground = true\n{more}{alias}'
    )


@asynccontextmanager
async def keeping(
    settings: Settings, storage: Storage, more: str = PLAIN, **how: Any
) -> AsyncIterator[tuple[ResponsesServer, Engine]]:
    """Yield a server that keeps answers, and an engine that asks it."""
    async with (
        responses_server(honours_keys=True, items=SAID, **how) as server,
        open_of_file(settings, storage, toml_of(server, more)) as engine,
    ):
        yield server, engine


async def left(storage: Storage, user: User, **facts: Any) -> Run:
    """Keep a run that a process was having answered when it died."""
    return await start(storage, user, provider="kept", model="m", **facts)


async def test_a_run_keeps_the_id_of_its_response_before_its_text(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with keeping(settings, storage, pace=0.05) as (server, engine):
        run = await engine.accept(alice, WHY)

        async def has_id() -> bool:
            return (await storage.get_run(alice, run.id)).handle in server.made

        await until(has_id)
        result = await engine.result(run)

    assert result.response == "Because it is."
    assert [result.handle] == [*server.made]


async def test_an_answer_is_found_again_by_its_id(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with responses_server(items=SAID) as server:
        made = server.begin({"input": [{"content": "Why?"}]})
        run = await left(storage, alice)
        await storage.attach(run, made.id)
        await storage.flush([replace(run, response="Bec", first_word_after=5)])

        async with open_of_file(settings, storage, toml_of(server)) as engine:
            result = await engine.result(run)

    assert (result.status, result.response) == (RunStatus.SUCCEEDED, "Because it is.")
    assert (server.creates, len(server.made)) == ([], 1)


async def test_without_its_id_it_is_interrupted_and_not_asked_for_again(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await left(storage, alice)
    async with keeping(settings, storage) as (server, engine):
        with pytest.raises(RunInterrupted):
            await engine.result(run)

    assert (await storage.get_run(alice, run.id)).status is RunStatus.INTERRUPTED
    assert server.heard == []


async def test_with_a_key_it_is_found_again_without_its_id(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await left(storage, alice)
    async with responses_server(honours_keys=True, items=SAID) as server:
        key = idempotency_key(replace(request(model="m"), run_id=run.id))
        made = server.begin({"input": [{"content": "Why?"}]}, key)
        async with open_of_file(settings, storage, toml_of(server, KEYED)) as engine:
            result = await engine.result(run)

    assert (result.response, result.handle) == ("Because it is.", made.id)
    assert len(server.made) == 1


async def test_a_key_is_not_relied_on_when_too_much_time_has_passed(
    settings: Settings, storage: Storage, alice: User
) -> None:
    long_ago = utc_now() - timedelta(hours=2)
    run = await left(storage, alice, created_at=long_ago, started_at=long_ago)
    async with keeping(settings, storage, KEYED) as (server, engine):
        with pytest.raises(AnswerExpired):
            await engine.result(run)

    assert server.heard == []


@pytest.mark.parametrize("more", [PLAIN, KEYED])
async def test_a_canceled_run_cancels_its_response(
    settings: Settings, storage: Storage, alice: User, more: str
) -> None:
    async with keeping(settings, storage, more, pace=0.05) as (server, engine):
        run = await engine.accept(alice, WHY)
        await until(lambda: bool(server.made))
        await engine.cancel(alice, run.id)

        await until(lambda: next(iter(server.made.values())).cancels == 1)


async def test_a_canceled_run_of_a_dead_process_cancels_its_response(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with responses_server(items=SAID, pace=0.05) as server:
        made = server.begin({"input": [{"content": "Why?"}]})
        run = await left(storage, alice)
        await storage.attach(run, made.id)
        await storage.request_cancel(alice, run.id)
        async with open_of_file(settings, storage, toml_of(server)) as engine:
            result = await engine.end_of(run)

    assert (result.status, made.cancels) == (RunStatus.CANCELED, 1)


async def test_a_server_that_stops_leaves_the_response_to_the_next_one(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"shutdown_grace": 0})
    async with responses_server(items=SAID, pace=0.05) as server:
        async with open_of_file(settings, storage, toml_of(server)) as engine:
            run = await engine.accept(alice, WHY)
            await until(lambda: engine._runner.live[run.id].run.handle)
        async with open_of_file(settings, storage, toml_of(server)) as engine:
            result = await engine.result(run)

    [made] = server.made.values()
    assert (result.response, made.cancels) == ("Because it is.", 0)


BEHIND = '[upstreams.next]\nkind = "openai"\nbase_url = "{}"\nmodels = ["m"]\n'
ANY = '[aliases]\nany = ["kept:m", "next:m"]\n'


@pytest.mark.parametrize(
    "way",
    [
        ({"refusals": [(429, {"error": {"message": "Later."}})]}, PLAIN, False),
        ({"refusals": [(401, {"error": {"message": "No."}})]}, KEYED, False),
        ({"refusals": [(500, {"error": {"message": "Oh."}})]}, PLAIN, None),
        ({"refusals": [(500, {"error": {"message": "Oh."}})]}, KEYED, True),
        ({"loses": 1}, PLAIN, None),
        ({"loses": 1}, KEYED, True),
    ],
)
async def test_the_next_model_is_asked_only_where_no_response_can_have_been_begun(
    settings: Settings,
    storage: Storage,
    alice: User,
    way: tuple[dict[str, Any], str, bool | None],
) -> None:
    how, more, is_kept = way
    asked = NewRun(prompt="Why?", model="any")
    async with (
        running_stub(*ANSWER) as stub,
        responses_server(honours_keys=True, items=SAID, **how) as server,
    ):
        text = toml_of(server, more, BEHIND.format(stub.base_url) + ANY)
        async with open_of_file(settings, storage, text) as engine:
            run = await ended(engine, alice, asked)

    assert posts(stub) == (is_kept is False)
    assert len(server.made) <= 1
    if is_kept is None:
        assert (run.status, run.provider) == (RunStatus.FAILED, "kept")
    else:
        assert run.status is RunStatus.SUCCEEDED
        assert run.response == ("Because it is." if is_kept else "Hello")
    assert len(passed(run)) == (is_kept is False)


async def test_an_open_circuit_does_not_hand_on_what_may_have_been_begun(
    settings: Settings, storage: Storage, alice: User
) -> None:
    route = {"alias": "any", "passed": [], "left": [["next", "m", None, None]]}
    run = await left(storage, alice)
    run = await left(storage, alice, parameters=replace(run.parameters, route=route))
    later = [(429, {"error": {"message": "Later."}})]
    async with (
        running_stub(*ANSWER) as stub,
        responses_server(honours_keys=True, items=SAID, refusals=later) as server,
    ):
        text = toml_of(server, KEYED, BEHIND.format(stub.base_url) + ANY)
        async with open_of_file(settings, storage, text) as engine:
            result = await engine.result(run)

    assert (result.response, posts(stub)) == ("Because it is.", 0)
    assert result.provider == "kept"


async def test_an_upstream_away_for_a_while_ends_no_run(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with responses_server(items=SAID, pace=0.05) as server:
        port = int(server.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
        async with open_of_file(settings, storage, toml_of(server)) as engine:
            run = await engine.accept(alice, WHY)
            await until(lambda: engine._runner.live[run.id].length > 0)
            await server.stop()
            await asyncio.sleep(0.2)
            async with responses_server(port, made=server.made):
                result = await engine.result(run)

    assert result.response == "Because it is."
    assert len(server.made) == 1


async def test_vectors_are_not_asked_for_in_the_background(
    settings: Settings, storage: Storage, alice: User
) -> None:
    new = NewRun(prompt="Why?", parameters=replace(WHY.parameters, embedding={}))
    async with keeping(settings, storage) as (server, engine):
        with pytest.raises(LlamaKeepError):
            await engine.result(await engine.accept(alice, new))

    assert [one.path for one in server.heard] == ["/v1/embeddings"]
