"""Asking a server, over a network that does what networks do."""

import asyncio

import pytest

from llamakeep.cli.remote import asking as module
from llamakeep.cli.remote.asking import ask_server
from llamakeep.cli.screen import Screen
from llamakeep.cli.terminal import Spinner
from llamakeep.domain import NewRun, Parameters, Reasoning, RunStatus, ToolCall
from llamakeep.errors import (
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderTimeout,
    ProviderUnavailable,
    Unauthenticated,
    WrongCredentials,
)
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.cli.conftest import Type, said
from tests.cli.serving import network, served
from tests.fakes import ScriptedProvider
from tests.providers.stub_server import Then, running_stub, whole
from tests.waiting import until

ASKED = NewRun(prompt="Hi", parameters=Parameters(max_tokens=7))


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.02, 0.02))


@pytest.fixture
def screen() -> Screen:
    return Screen(Spinner(""))


def read(written: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return all that was written until now."""
    written.append(capsys.readouterr().out)
    return "".join(written)


@pytest.mark.slow
async def test_an_answer_is_written_and_is_in_the_servers_history(
    settings: Settings,
) -> None:
    async with served(settings, ScriptedProvider()) as server:
        access_token = await server.new_access_token("carol")

        code, out, err = await said(
            *("ask", "Hi", "--server", server.url),
            LLAMAKEEP_ACCESS_TOKEN=access_token,
        )

        [run] = await server.storage.history(await server.user("carol"))
    assert (code, out, err) == (0, "Hello, world\n", "")
    assert (run.prompt, run.response) == ("Hi", "Hello, world")


async def test_an_answer_goes_on_where_a_lost_connection_stopped(
    settings: Settings, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    more = asyncio.Event()
    provider = ScriptedProvider(["Once ", "upon ", more, "a time."])
    async with (
        served(settings, provider) as server,
        network(server.url) as between,
    ):
        access_token = await server.new_access_token("carol")
        asking = asyncio.create_task(
            ask_server(ASKED, between.url, screen, access_token=access_token)
        )
        written: list[str] = []
        await until(lambda: "upon" in read(written, capsys))

        between.cut()
        more.set()
        await asking

    assert read(written, capsys) == "Once upon a time."
    assert between.connections == 2
    assert len(provider.requests) == 1


async def test_a_prompt_whose_acceptance_was_lost_is_not_asked_twice(
    settings: Settings, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    accepting = asyncio.Event()
    provider = ScriptedProvider(before_accepting=accepting)
    async with (
        served(settings, provider) as server,
        network(server.url) as between,
    ):
        access_token = await server.new_access_token("carol")
        asking = asyncio.create_task(
            ask_server(ASKED, between.url, screen, access_token=access_token)
        )
        await until(lambda: provider.requests)

        between.cut()
        accepting.set()
        await asking

    assert capsys.readouterr().out == "Hello, world"
    assert len(provider.requests) == 1
    assert provider.requests[0].parameters.max_tokens == 7


async def test_an_answer_that_is_stopped_is_canceled_on_the_server(
    settings: Settings, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = ScriptedProvider(["Once ", asyncio.Event()])
    async with served(settings, provider) as server:
        access_token = await server.new_access_token("carol")
        asking = asyncio.create_task(
            ask_server(ASKED, server.url, screen, access_token=access_token)
        )
        await until(lambda: "Once" in capsys.readouterr().out)

        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        [run] = await server.storage.history(await server.user("carol"))
    assert (run.status, run.response) == (RunStatus.CANCELED, "Once ")


SCRIPT = (
    ItemBegun(Reasoning()),
    ItemText("Hm."),
    ItemBegun(ToolCall("a", "weather")),
    ItemText('{"city": '),
    ItemText('"Oslo"}'),
    ItemBegun(ToolCall("b", "now")),
)
WRITTEN = (
    '[reasoning] Hm.\n\n[tool call] weather({"city": "Oslo"})\n\n[tool call] now()\n'
)


async def test_calls_of_tools_are_written_as_such(
    settings: Settings, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(settings, ScriptedProvider(SCRIPT)) as server:
        access_token = await server.new_access_token("carol")

        await ask_server(ASKED, server.url, screen, access_token=access_token)
        screen.end_line()

    assert capsys.readouterr().out == WRITTEN


async def test_a_run_is_continued_on_the_server(
    settings: Settings, screen: Screen
) -> None:
    provider = ScriptedProvider()
    async with served(settings, provider) as server:
        access_token = await server.new_access_token("carol")
        await ask_server(ASKED, server.url, screen, access_token=access_token)
        [run] = await server.storage.history(await server.user("carol"))
        going_on = NewRun(prompt="And?", previous_run_id=run.id)

        await ask_server(going_on, server.url, screen, access_token=access_token)

    said = [message.content for message in provider.requests[1].messages]
    assert said == ["Hi", "Hello, world", "And?"]


async def test_a_failed_answer_is_the_servers_error(
    settings: Settings, screen: Screen
) -> None:
    provider = ScriptedProvider(["Once ", ProviderTimeout("It was silent.")])
    async with served(settings, provider) as server:
        access_token = await server.new_access_token("carol")

        with pytest.raises(ProviderTimeout, match="It was silent") as failure:
            await ask_server(ASKED, server.url, screen, access_token=access_token)

        [run] = await server.storage.history(await server.user("carol"))
    assert failure.value.run_id == run.id


async def test_a_password_lets_in_as_well_as_an_access_token(
    settings: Settings, screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = settings.model_copy(update={"demo": True})
    async with served(demo, ScriptedProvider()) as server:
        await ask_server(
            ASKED, server.url, screen, username="alice", password="secret1"
        )

        with pytest.raises(WrongCredentials):
            await ask_server(
                ASKED, server.url, screen, username="alice", password="secret2"
            )

    assert capsys.readouterr().out == "Hello, world"


async def test_what_the_server_refuses_is_told_in_its_words(
    settings: Settings, screen: Screen
) -> None:
    async with served(settings, ScriptedProvider()) as server:
        with pytest.raises(Unauthenticated, match="not an access token"):
            await ask_server(ASKED, server.url, screen, access_token="lk_wrong")


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        ((Then.RESET,), ProviderUnavailable, "cannot be reached, or breaks off"),
        ((whole(404, {"detail": "Nope"}),), ProviderAnswerInvalid, "404: Nope"),
        ((whole(500, b"oops"),), ProviderAnswerInvalid, "Is that a llamakeep server"),
    ],
)
async def test_another_kind_of_server_is_no_riddle(
    screen: Screen,
    answer: tuple[bytes | Then, ...],
    error: type[LlamaKeepError],
    told: str,
) -> None:
    async with running_stub(*answer) as stub:
        with pytest.raises(error, match=told):
            await ask_server(ASKED, stub.base_url, screen, access_token="lk_x")


async def test_a_server_that_is_not_there_is_not_waited_for(screen: Screen) -> None:
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await ask_server(ASKED, "127.0.0.1:1", screen, access_token="lk_x")


def test_a_text_that_begins_anew_is_written_whole(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.add("Once up")
    screen.replace("There was")
    screen.end_line()

    written = capsys.readouterr()
    assert written.out == "Once up\nThere was\n"
    assert "began anew" in written.err


def test_a_server_wants_to_know_who_asks(typed: Type) -> None:
    asked = typed("ask", "Hi", "--server", "http://127.0.0.1:1")

    assert asked.exit_code == 2
    assert "--username NAME" in asked.stderr
