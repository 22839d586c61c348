"""Runs whose tools are described in the prompt."""

import pytest

from llamakeep.domain import NewRun, Parameters, User
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import open_engine
from tests.fakes import ScriptedProvider

TOOLS = Parameters(tools=({"type": "function", "function": {"name": "f"}},))


class Prompting(ScriptedProvider):
    """It describes tools to its models in the prompt."""

    def prompts_tools(self, model: str) -> bool:
        return model == "parrot"


@pytest.mark.parametrize("is_prompted", [True, False])
async def test_a_run_says_that_its_tools_were_described_in_the_prompt(
    settings: Settings, storage: Storage, alice: User, *, is_prompted: bool
) -> None:
    unsupported = frozenset({"tools"} if is_prompted else ())
    provider = Prompting(unsupported=unsupported)
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.answer(alice, NewRun(prompt="Why?", parameters=TOOLS))
        kept = await storage.get_run(alice, run.id)

    assert kept.parameters.prompted_tools is (True if is_prompted else None)
    assert (
        provider.requests[0].parameters.prompted_tools == kept.parameters.prompted_tools
    )
