"""Asking, with and without a server."""

import asyncio
import signal

import pytest

from llamakeep.cli.ask_here import ask_here
from llamakeep.cli.screen import Screen
from llamakeep.cli.terminal import Spinner
from llamakeep.cli.users import all_users
from llamakeep.domain import NewRun, Run, RunStatus, ToolCall, new_id, utc_now
from llamakeep.errors import ProviderTimeout
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.providers.local.weights import find_weights, has_engine
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from tests.cli.conftest import Type, said, started
from tests.fakes import ScriptedProvider
from tests.providers.stub_server import (
    DONE,
    END,
    STOP,
    Then,
    delta,
    head,
    running_stub,
)
from tests.waiting import until

ANSWER = (head(), delta("Hello"), delta(" you"), STOP, DONE, END)


@pytest.fixture
def embedded_model(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMAKEEP_LOCAL_MODEL")
    if not has_engine() or find_weights(settings) is None:
        pytest.skip("The embedded model is not installed; `make run` installs it.")


async def _history(url: str, username: str) -> list[Run]:
    async with open_storage(url, is_owner=False) as storage:
        known = await storage.find_credentials(username)
        assert known is not None
        return list(await storage.history(known.user))


@pytest.mark.slow
async def test_an_answer_is_written_and_kept(sqlite_url: str) -> None:
    async with running_stub(*ANSWER) as stub:
        code, out, err = await said(
            *("ask", "Hi", "--username", "carol", "--system", "Be kind."),
            *("--max-tokens", "7", "--model", "openai:parrot"),
            LLAMAKEEP_OPENAI_BASE_URL=stub.base_url,
        )

    [run] = await _history(sqlite_url, "carol")
    assert (code, out, err) == (0, "Hello you\n", "")
    assert (run.prompt, run.response) == ("Hi", "Hello you")
    assert stub.heard[0].json["max_tokens"] == 7
    assert [one["content"] for one in stub.heard[0].json["messages"]] == [
        "Be kind.",
        "Hi",
    ]


@pytest.mark.slow
async def test_a_prompt_can_come_through_a_pipe() -> None:
    async with running_stub(*ANSWER) as stub:
        code, _, _ = await said(
            *("ask", "--model", "openai:parrot", "-"),
            stdin="Grüße\n".encode(),
            LLAMAKEEP_OPENAI_BASE_URL=stub.base_url,
        )

    assert code == 0
    assert stub.heard[0].json["messages"][-1]["content"] == "Grüße"


@pytest.mark.slow
async def test_nothing_is_kept_if_that_is_wanted(settings: Settings) -> None:
    async with running_stub(*ANSWER) as stub:
        asked = await said(
            *("ask", "Hi", "--no-history", "--model", "openai:parrot"),
            LLAMAKEEP_OPENAI_BASE_URL=stub.base_url,
        )

    assert asked == (0, "Hello you\n", "")
    assert await all_users(settings) == []


@pytest.mark.parametrize(
    ("stdin", "complaint"),
    [(b"", "empty"), (b" \n", "empty"), (b"a\0b", "NUL"), (b"\xff", "not UTF-8")],
)
def test_what_cannot_be_kept_is_not_asked(
    typed: Type, stdin: bytes, complaint: str
) -> None:
    asked = typed("ask", stdin=stdin)

    assert asked.exit_code == 2
    assert complaint in asked.stderr


def test_keeping_nothing_goes_without_a_conversation(typed: Type) -> None:
    asked = typed("ask", "Hi", "--no-history", "--conversation", "conv_1")

    assert asked.exit_code == 2


def test_without_a_model_it_says_how_to_get_one(typed: Type) -> None:
    asked = typed("ask", "Hi")

    assert asked.exit_code == 1
    assert "REPLICATE_API_TOKEN" in asked.stderr


async def test_a_conversation_goes_on(settings: Settings) -> None:
    provider = ScriptedProvider()
    conversation_id = await _ask_here(settings, provider, NewRun(prompt="One"))

    again = NewRun(prompt="Two", conversation_id=conversation_id)
    same = await _ask_here(settings, provider, again)

    assert same == conversation_id
    assert [message.content for message in provider.requests[1].messages] == [
        "One",
        "Hello, world",
        "Two",
    ]


async def test_a_run_is_continued_also_where_others_have_followed_it(
    settings: Settings,
) -> None:
    provider = ScriptedProvider()
    await _ask_here(settings, provider, NewRun(prompt="One"))
    [first] = await _history(settings.database_url, "carol")
    for prompt in ("Two", "Another two"):
        asked = NewRun(prompt=prompt, previous_run_id=first.id)
        await _ask_here(settings, provider, asked)

    assert [message.content for message in provider.requests[2].messages] == [
        "One",
        "Hello, world",
        "Another two",
    ]


async def test_calls_of_tools_are_written_as_such(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = ScriptedProvider(
        ["I look. ", ItemBegun(ToolCall("a", "weather")), ItemText("{}")]
    )

    await _ask_here(settings, provider, NewRun(prompt="Hi"))

    assert capsys.readouterr().out == "I look. \n\n[tool call] weather({}"


def test_a_run_is_continued_without_a_conversation(typed: Type) -> None:
    asked = typed("ask", "Hi", "--previous", "run_1", "--conversation", "conv_1")

    assert asked.exit_code == 2
    assert "--conversation" in asked.stderr


async def test_a_failed_answer_is_told_and_kept(settings: Settings) -> None:
    provider = ScriptedProvider(["Once ", ProviderTimeout("It was silent.")])

    with pytest.raises(ProviderTimeout) as failure:
        await _ask_here(settings, provider, NewRun(prompt="Hi"))

    [run] = await _history(settings.database_url, "carol")
    assert failure.value.run_id == run.id
    assert (run.status, run.response) == (RunStatus.FAILED, "Once ")


async def test_an_answer_that_is_stopped_keeps_its_text(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = ScriptedProvider(["Once ", asyncio.Event()])
    asking = asyncio.create_task(_ask_here(settings, provider, NewRun(prompt="Hi")))
    await until(lambda: "Once" in capsys.readouterr().out)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    [run] = await _history(settings.database_url, "carol")
    assert (run.status, run.response) == (RunStatus.CANCELED, "Once ")
    assert provider.is_closed


async def test_what_a_server_left_unfinished_is_left_to_the_next_server(
    settings: Settings,
) -> None:
    async with open_storage(settings.database_url) as storage:
        user = await storage.add_user("dora", None)
        left = await storage.accept(_unfinished(user.id), node="gone")

    await _ask_here(settings, ScriptedProvider(is_free=True), NewRun(prompt="Hi"))

    [run] = await _history(settings.database_url, "dora")
    assert run == left


@pytest.mark.slow
@pytest.mark.usefixtures("embedded_model")
async def test_without_a_server_the_embedded_model_answers(settings: Settings) -> None:
    code, out, err = await said(
        *("ask", "Tell me a story.", "--username", "carol", "--max-tokens", "9")
    )

    [run] = await _history(settings.database_url, "carol")
    assert (code, err) == (0, "")
    assert run.provider == "local"
    assert run.response.strip()
    assert out.strip() == run.response.strip()


@pytest.mark.slow
async def test_an_answer_that_is_interrupted_is_canceled_and_kept(
    settings: Settings,
) -> None:
    async with (
        running_stub(head(), delta("Once "), Then.HANG) as stub,
        started(
            *("ask", "Hi", "--username", "carol", "--model", "openai:parrot"),
            LLAMAKEEP_OPENAI_BASE_URL=stub.base_url,
        ) as asking,
    ):
        words = await asking.some()
        asking.signal(signal.SIGINT)
        code, rest, err = await asking.ended()

    [run] = await _history(settings.database_url, "carol")
    assert (code, err) == (130, "")
    assert (run.status, run.response) == (RunStatus.CANCELED, "Once ")
    assert words + rest == "Once \n"


def _unfinished(user_id: str) -> Run:
    return Run(
        id=new_id("run_"),
        user_id=user_id,
        status=RunStatus.STARTING,
        attempt=1,
        provider="scripted",
        model="parrot",
        prompt="Left",
        conversation_id="conv_1",
        created_at=utc_now(),
    )


async def _ask_here(
    settings: Settings, provider: ScriptedProvider, asked: NewRun
) -> str:
    return await ask_here(
        settings,
        asked,
        "carol",
        Screen(Spinner("")),
        Registry([provider]),
    )


def test_a_prompt_may_follow_nothing_of_a_conversation(typed: Type) -> None:
    asked = typed("ask", "Hi", "--previous", "none", "--conversation", "conv_1")

    assert asked.exit_code == 1
    assert "--conversation" not in asked.stderr
