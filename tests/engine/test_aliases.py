"""Aliases: the next model is asked only where nothing can have been paid."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from llamakeep.domain import (
    Limits,
    NewRun,
    Parameters,
    Run,
    RunStatus,
    User,
    new_id,
    utc_now,
)
from llamakeep.domain.routes import Candidate, Passed, route_of
from llamakeep.engine import Engine
from llamakeep.engine.routing.choosing import members_of
from llamakeep.errors import LlamaKeepError, PriceUnknown, UnsupportedParameter
from llamakeep.history.records import shown
from llamakeep.providers.creating import create_registry
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import Member, read_text
from llamakeep.storage import Storage
from tests.engine.engine import open_with
from tests.providers.stub_server import (
    DONE,
    END,
    STOP,
    Line,
    StubServer,
    Then,
    delta,
    event,
    head,
    running_stub,
    usage,
    whole,
)
from tests.waiting import until

ANSWER: Sequence[Line] = (head(), delta("Hello"), STOP, usage(7, 3), DONE, END)
NO_MODEL = Path("none")
ANY = NewRun(prompt="Why?", model="any")


def toml_of(urls: dict[str, str], *, first: str = "", alias: str = "") -> str:
    """Return a file with an upstream at each address, and an alias for all."""
    tables = [
        f'[upstreams.{name}]\nkind = "openai"\nbase_url = "{url}"\nmodels = ["m"]\n'
        + (first if place == 0 else "")
        for place, (name, url) in enumerate(urls.items())
    ]
    members = alias or ", ".join(f'"{name}:m"' for name in urls)
    return "\n".join([*tables, f"[aliases]\nany = [{members}]\n"])


@asynccontextmanager
async def open_of_file(
    settings: Settings, storage: Storage, text: str
) -> AsyncIterator[Engine]:
    """Open an engine with what a file says."""
    settings = settings.model_copy(update={"local_model": NO_MODEL})

    def create() -> Registry:
        upstreams = read_text(text, Path("llamakeep.toml"), settings)
        return create_registry(settings, upstreams=upstreams)

    registry = await asyncio.to_thread(create)
    try:
        async with open_with(settings, storage, registry) as engine:
            yield engine
    finally:
        await registry.close()


async def ended(engine: Engine, user: User, new: NewRun = ANY) -> Run:
    """Return how a run ends, whatever becomes of it."""
    return await engine.end_of(await engine.accept(user, new))


def posts(stub: StubServer) -> int:
    """Return how many prompts a server was sent."""
    return sum(heard.method == "POST" for heard in stub.heard)


def passed(run: Run) -> list[tuple[str, str]]:
    """Return the models that did not answer, and why."""
    assert run.parameters.route is not None
    return [(each["model"], each["reason"]) for each in run.parameters.route["passed"]]


IN_BAND = {"error": {"message": "Slow down.", "code": 429}}
FREE = "unavailable_is_free = true\n"


@pytest.mark.parametrize(
    "way",
    [
        ([whole(401, {"error": {"message": "No."}})], "", "provider-unauthenticated"),
        ([whole(404, {"error": {"message": "No path."}})], "", "provider-error"),
        ([whole(404, {"error": {"message": "No model m."}})], "", "model-not-found"),
        ([whole(429, {"error": {"message": "Later."}})], "", "provider-rate-limited"),
        ([whole(503, {"error": {"message": "Full."}})], FREE, "provider-unavailable"),
        ([whole(503, {"error": {"message": "Full."}})], "", None),
        ([whole(502, b"")], FREE, None),
        ([whole(500, b"")], FREE, None),
        ([whole(400, {"error": {"message": "Bad."}})], FREE, None),
        ([whole(402, {"error": {"message": "Pay."}})], FREE, None),
        ([whole(403, {"error": {"message": "No."}})], FREE, None),
        ([Then.CLOSE], FREE, None),
        ([Then.RESET], FREE, None),
        ([b"garbage\r\n\r\n"], FREE, None),
        ([head(), event(IN_BAND), END], FREE, None),
        ([head(), delta("Hel"), Then.CLOSE], FREE, None),
        ([whole(200, {"a": 1})], FREE, None),
    ],
)
async def test_the_next_model_is_asked_only_where_nothing_can_have_been_paid(
    settings: Settings,
    storage: Storage,
    alice: User,
    way: tuple[list[Line], str, str | None],
) -> None:
    script, setting, reason = way
    async with running_stub(*script) as first, running_stub(*ANSWER) as second:
        urls = {"first": first.base_url, "second": second.base_url}
        async with open_of_file(
            settings, storage, toml_of(urls, first=setting)
        ) as engine:
            run = await ended(engine, alice)

    assert posts(first) == 1
    if reason is None:
        assert (run.status, run.provider) == (RunStatus.FAILED, "first")
        assert posts(second) == 0
        assert passed(run) == []
    else:
        assert (run.status, run.provider) == (RunStatus.SUCCEEDED, "second")
        assert (run.response, posts(second)) == ("Hello", 1)
        assert passed(run) == [("first:m", reason)]
    assert await storage.get_run(alice, run.id) == run


async def test_what_is_shown_of_a_run_says_how_it_came_to_its_model(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with running_stub(*ANSWER) as stub:
        urls = {"dead": "http://127.0.0.1:9/v1"}
        text = toml_of(urls | dict.fromkeys(("alive", "more"), stub.base_url))
        async with open_of_file(settings, storage, text) as engine:
            by_alias = shown(await ended(engine, alice))
            by_name = shown(await ended(engine, alice, replace(ANY, model="alive:m")))

    assert by_alias["model"] == "alive:m"
    assert by_alias["route"] == {
        "alias": "any",
        "passed": [
            {"model": "dead:m", "reason": "provider-unavailable", "was_asked": True}
        ],
        "left": ["more:m"],
    }
    assert "route" not in by_name
    assert "route" not in stub.heard[0].json


async def test_a_server_that_is_not_there_is_passed_by(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with running_stub(*ANSWER) as stub:
        urls = {"dead": "http://127.0.0.1:9/v1", "alive": stub.base_url}
        async with open_of_file(settings, storage, toml_of(urls)) as engine:
            run = await ended(engine, alice)

    assert (run.response, run.provider, run.model) == ("Hello", "alive", "m")
    assert passed(run) == [("dead:m", "provider-unavailable")]


@pytest.mark.parametrize(
    "expected",
    [(401, True), (404, True), (429, True), (503, False), (500, False), (422, False)],
)
async def test_replicate_passes_a_prompt_on_but_never_at_a_503(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    expected: tuple[int, bool],
) -> None:
    status, falls_back = expected
    monkeypatch.setenv("TOKEN_THERE", "r8_token")
    settings = settings.model_copy(update={"settle_time": 0.01, "run_timeout": 2})
    async with running_stub(*ANSWER) as second, running_stub() as replicate:
        replicate.script = [whole(status, {"detail": "No."})]
        replicate.script_of_get = [whole(200, {"next": None, "results": []})]
        text = (
            f'[upstreams.hosted]\nkind = "replicate"\nkey_variable = "TOKEN_THERE"\n'
            f'base_url = "{replicate.base_url}"\nmodels = ["meta/m"]\n'
        ) + toml_of({"second": second.base_url}, alias='"hosted", "second"')
        async with open_of_file(settings, storage, text) as engine:
            run = await ended(engine, alice)

    assert (run.provider == "second") is falls_back
    assert posts(second) == falls_back
    if falls_back:
        assert posts(replicate) == 1
        assert run.response == "Hello"


async def test_a_model_whose_circuit_is_open_is_not_asked(
    settings: Settings, storage: Storage, alice: User
) -> None:
    slow = [whole(429, {"error": {"message": "Later."}}, **{"retry-after": "60"})]
    async with running_stub(*slow) as first, running_stub(*ANSWER) as second:
        urls = {"first": first.base_url, "second": second.base_url}
        async with open_of_file(settings, storage, toml_of(urls)) as engine:
            runs = [await ended(engine, alice) for _ in range(3)]

    assert {run.provider for run in runs} == {"second"}
    assert (posts(first), posts(second)) == (1, 3)
    asked = [run.parameters.route["passed"][0]["was_asked"] for run in runs]  # type: ignore[index] # each has one
    assert asked == [True, False, False]


async def test_a_server_that_was_not_there_is_asked_after_the_others_for_a_while(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with running_stub(*ANSWER) as stub:
        urls = {"dead": "http://127.0.0.1:9/v1", "alive": stub.base_url}
        async with open_of_file(settings, storage, toml_of(urls)) as engine:
            runs = [await ended(engine, alice) for _ in range(2)]
            stub.script = [whole(429, b"")]
            failed = await ended(engine, alice)

    assert [passed(run) for run in runs] == [
        [("dead:m", "provider-unavailable")],
        [("dead:m", "circuit-open")],
    ]
    assert passed(failed) == [
        ("dead:m", "circuit-open"),
        ("alive:m", "provider-rate-limited"),
    ]
    assert (failed.status, failed.provider) == (RunStatus.FAILED, "dead")


async def test_where_none_answers_the_last_one_says_why(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with running_stub(whole(401, b"")) as first, running_stub() as second:
        second.script = [whole(429, {"error": {"message": "Later."}})]
        urls = {"first": first.base_url, "second": second.base_url}
        async with open_of_file(settings, storage, toml_of(urls)) as engine:
            run = await ended(engine, alice)

    assert run.status is RunStatus.FAILED
    assert run.error_code == "provider-rate-limited"
    assert passed(run) == [("first:m", "provider-unauthenticated")]


ABLE = "[upstreams.{}.capabilities.m]\n{}\n"


async def test_a_model_that_cannot_do_what_is_needed_is_passed_by(
    settings: Settings, storage: Storage, alice: User
) -> None:
    tools = Parameters(tools=({"type": "function", "function": {"name": "f"}},))
    async with running_stub(*ANSWER) as first, running_stub(*ANSWER) as second:
        urls = {"first": first.base_url, "second": second.base_url}
        text = toml_of(urls) + ABLE.format("first", "tools = false\ncontext = 50")
        async with open_of_file(settings, storage, text) as engine:
            plain = await ended(engine, alice)
            called = await ended(engine, alice, replace(ANY, parameters=tools))
            long = await ended(engine, alice, replace(ANY, prompt="word " * 100))

    assert (plain.provider, passed(plain)) == ("first", [])
    assert passed(called) == [("first:m", "unsupported-parameter")]
    assert passed(long) == [("first:m", "context-length-exceeded")]
    assert called.provider == long.provider == "second"


async def test_a_prompt_that_no_model_can_answer_is_refused(
    settings: Settings, storage: Storage, alice: User
) -> None:
    tools = Parameters(tools=({"type": "function", "function": {"name": "f"}},))
    urls = {"first": "http://127.0.0.1:9/v1"}
    text = toml_of(urls) + ABLE.format("first", "tools = false")
    async with open_of_file(settings, storage, text) as engine:
        with pytest.raises(UnsupportedParameter, match="first:m cannot"):
            await engine.accept(alice, replace(ANY, parameters=tools))

    assert await storage.history(alice) == []


async def test_a_limit_in_dollars_needs_the_price_of_each_model(
    settings: Settings, storage: Storage, alice: User
) -> None:
    limited = settings.model_copy(update={"user_limits": Limits(dollars_per_day=1)})  # type: ignore[arg-type] # validated before
    urls = {"first": "http://127.0.0.1:9/v1", "second": "http://127.0.0.1:9/v1"}
    text = toml_of(urls, first="prices.m = { input = 1, output = 1 }\n")
    async with open_of_file(limited, storage, text) as engine:
        with pytest.raises(PriceUnknown, match="second:m"):
            await engine.accept(alice, ANY)


def test_equal_models_come_first_as_often_as_their_weights_say() -> None:
    step = [Member("a", "m", 3), Member("b", "m", 1)]

    orders = [[each.upstream for each in members_of([step])] for _ in range(4000)]

    assert all(sorted(order) == ["a", "b"] for order in orders)
    assert 2800 < sum(order[0] == "a" for order in orders) < 3200


@dataclass
class Fault:
    """What one of several servers does."""

    script: Sequence[Line]
    is_paid: bool = False


@pytest.mark.slow  # seconds
async def test_of_five_servers_in_trouble_no_two_are_paid_for_one_prompt(
    settings: Settings, storage: Storage, alice: User
) -> None:
    """Each prompt names itself, so that the servers count what they were sent."""
    faults = [
        Fault([whole(429, b"")]),
        Fault([whole(401, b"")]),
        Fault([head(), delta("Hel"), Then.RESET], is_paid=True),
        Fault([b"HTTP/1.1 200 OK\r\n\r\n{]"], is_paid=True),
        Fault(ANSWER, is_paid=True),
    ]
    count = 60
    async with AsyncExitStack() as stack:
        stubs = [
            await stack.enter_async_context(running_stub(*fault.script))
            for fault in faults
        ]
        urls = {f"s{n}": stub.base_url for n, stub in enumerate(stubs)}
        equal = ", ".join(f'"s{n}:m" = 1' for n in range(len(stubs)))
        text = toml_of(
            {"dead": "http://127.0.0.1:9/v1", **urls}, alias=f'"dead:m", {{{equal}}}'
        )
        runs: list[Run] = []
        # Engines that stop in the middle, as servers do that are killed.
        for part in range(3):
            async with open_of_file(settings, storage, text) as engine:
                asked = [
                    engine.accept(alice, replace(ANY, prompt=f"Prompt {part}.{n}."))
                    for n in range(count // 3)
                ]
                runs += await asyncio.gather(*asked)
                await asyncio.sleep(0.01 * part)
        async with open_of_file(settings, storage, text) as engine:
            await until(lambda: engine.running == 0)
            runs = [await storage.get_run(alice, run.id) for run in runs]

    paid: dict[str, int] = {}
    for fault, stub in zip(faults, stubs, strict=True):
        for heard in stub.heard:
            prompt = heard.json["messages"][0]["content"]
            paid[prompt] = paid.get(prompt, 0) + fault.is_paid
    assert max(paid.values()) == 1
    assert all(run.status.is_final for run in runs)
    for run in runs:
        if run.status is RunStatus.SUCCEEDED:
            assert run.provider == "s4"
        elif run.error_code != "run-interrupted":
            # Whoever may have been paid has ended it, or it was the last one's turn.
            left = run.parameters.route and run.parameters.route["left"]
            assert paid[run.prompt] == 1 or not left
    assert any(run.status is RunStatus.SUCCEEDED for run in runs)


async def test_a_server_without_a_file_refuses_an_alias_as_an_unknown_model(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_of_file(settings, storage, "") as engine:
        with pytest.raises(LlamaKeepError):
            await engine.accept(alice, ANY)


@pytest.mark.parametrize("status", [RunStatus.STARTING, RunStatus.QUEUED])
async def test_after_a_crash_only_what_was_certainly_not_asked_goes_on(
    settings: Settings, storage: Storage, alice: User, status: RunStatus
) -> None:
    """A process has kept that the second model is asked next, and was killed."""
    async with AsyncExitStack() as stack:
        urls, stubs = {}, []
        for name, script in (
            ("first", ANSWER),
            ("second", [whole(401, b"")]),
            ("third", ANSWER),
        ):
            stub = await stack.enter_async_context(running_stub(*script))
            urls[name] = stub.base_url
            stubs.append(stub)
        route = route_of(
            "any",
            [Candidate("third", "m")],
            [Passed("first:m", "provider-rate-limited", was_asked=True)],
        )
        left = Run(
            id=new_id("run_"),
            user_id=alice.id,
            status=status,
            attempt=1,
            provider="second",
            model="m",
            prompt="Why?",
            conversation_id="conv_1",
            parameters=Parameters(route=route),
            created_at=utc_now(),
            started_at=utc_now() if status is RunStatus.STARTING else None,
        )
        await storage.accept(left, node="node_dead")
        async with open_of_file(settings, storage, toml_of(urls)) as engine:
            run = await engine.end_of(left)

    asked = [posts(stub) for stub in stubs]
    if status is RunStatus.STARTING:
        assert (run.status, run.provider) == (RunStatus.INTERRUPTED, "second")
        assert asked == [0, 0, 0]
    else:
        assert (run.status, run.provider) == (RunStatus.SUCCEEDED, "third")
        assert asked == [0, 1, 1]
        assert [reason for _, reason in passed(run)] == [
            "provider-rate-limited",
            "provider-unauthenticated",
        ]
