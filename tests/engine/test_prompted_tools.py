"""Runs whose tools, or whose response format, are described in the prompt."""

from llamakeep.domain import NewRun, Parameters, User
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import open_engine
from tests.fakes import PromptingProvider, ScriptedProvider

FUNCTION = {"type": "function", "function": {"name": "f"}}
WHY = NewRun(prompt="Why?", parameters=Parameters(tools=(FUNCTION,)))


async def test_a_run_says_that_its_tools_were_described_in_the_prompt(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = PromptingProvider()
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.answer(alice, WHY)
        kept = await storage.get_run(alice, run.id)

    [asked] = provider.requests
    assert asked.parameters.prompted_tools is kept.parameters.prompted_tools is True


async def test_a_run_says_nothing_of_that_where_the_server_knows_tools(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        run = await engine.answer(alice, WHY)

    assert "prompted_tools" not in run.parameters.given()


async def test_a_run_says_that_its_format_was_asked_for_in_the_prompt(
    settings: Settings, storage: Storage, alice: User
) -> None:
    parameters = Parameters(response_format={"type": "json_object"})
    provider = PromptingProvider()
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.answer(alice, NewRun(prompt="Why?", parameters=parameters))
        kept = await storage.get_run(alice, run.id)

    assert provider.requests[0].parameters == kept.parameters
    assert kept.parameters.prompted_format is True
    assert "prompted_tools" not in kept.parameters.given()
