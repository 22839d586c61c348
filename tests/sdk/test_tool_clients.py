"""Tools and forms, as other people's libraries use them, unchanged."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.node import node_with_packages
from tests.sdk.programs import output_of
from tests.sdk.site import ALICE, ToolSite
from tests.tool_upstream import MODEL

JAVASCRIPT = Path(__file__).parent / "js_openai"
PROMPT = "Is Oslo colder than Bergen?"
ANSWER = "It is -3 and 7."
WEATHER = {"Oslo": "-3", "Bergen": "7"}


class Person(BaseModel):
    name: str
    age: int


ADA = Person(name="Ada", age=36)


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return WEATHER[city]


@pytest.mark.parametrize("is_streamed", [False, True])
def test_langchain_calls_tools(tool_site: ToolSite, *, is_streamed: bool) -> None:
    weather = tool(get_weather)
    model = ChatOpenAI(
        model=MODEL, base_url=f"{tool_site.origin}/v1", api_key=SecretStr(ALICE)
    ).bind_tools([weather])
    said: list[BaseMessage] = [HumanMessage(PROMPT)]

    if is_streamed:
        answer: Any = None
        for piece in model.stream(said):
            answer = piece if answer is None else answer + piece
    else:
        answer = model.invoke(said)
    results = [weather.invoke(call) for call in answer.tool_calls]

    assert model.invoke([*said, answer, *results]).content == ANSWER


def test_langchain_fills_in_forms(tool_site: ToolSite) -> None:
    model = ChatOpenAI(
        model=MODEL, base_url=f"{tool_site.origin}/v1", api_key=SecretStr(ALICE)
    )

    found = model.with_structured_output(Person, method="json_schema").invoke("Ada?")

    assert found == ADA


async def test_pydantic_ai_calls_tools_and_fills_in_forms(tool_site: ToolSite) -> None:
    # A client of its own would stay open.
    async with AsyncOpenAI(base_url=f"{tool_site.origin}/v1", api_key=ALICE) as client:
        model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client))
        agent = Agent(model, tools=[get_weather])

        whole = await agent.run(PROMPT)
        async with agent.run_stream(PROMPT) as stream:
            streamed = await stream.get_output()
        again = await agent.run(PROMPT, message_history=whole.all_messages())
        filled = await Agent(model, output_type=NativeOutput(Person)).run("Who is Ada?")

    assert whole.output == streamed == again.output == ANSWER
    assert filled.output == ADA


def test_javascript_calls_tools_and_fills_in_forms(tool_site: ToolSite) -> None:
    node = node_with_packages(JAVASCRIPT)

    said = output_of(node, "tools.mjs", tool_site.origin, folder=JAVASCRIPT)

    assert said.splitlines() == [
        ANSWER,
        ANSWER,
        f"{ANSWER} They say: {PROMPT}",
        ANSWER,
        *["Ada 36"] * 3,
    ]
