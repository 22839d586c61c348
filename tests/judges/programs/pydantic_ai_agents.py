"""Pydantic AI, whose forms are tools by default, with three APIs."""

import os

from anthropic import AsyncAnthropic
from kit import MODEL, PROMPT, Person, get_weather, serve
from pydantic_ai import Agent, NativeOutput, PromptedOutput
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider

chat = OpenAIChatModel(MODEL)
responses = OpenAIResponsesModel(MODEL)
messages = AnthropicModel(
    MODEL,
    provider=AnthropicProvider(
        anthropic_client=AsyncAnthropic(
            base_url=os.environ["OPENAI_BASE_URL"].removesuffix("/v1"),
            api_key=os.environ["OPENAI_API_KEY"],
        )
    ),
)


async def agent(model: Model = chat) -> str:
    agent = Agent(model, tools=[get_weather])
    first = await agent.run(PROMPT)
    second = await agent.run("And Bergen alone?", message_history=first.all_messages())
    return f"{first.output} {second.output}"


async def agent_on_responses() -> str:
    return await agent(responses)


async def agent_on_messages() -> str:
    return await agent(messages)


async def agent_streamed(model: Model = chat) -> str:
    async with Agent(model, tools=[get_weather]).run_stream(PROMPT) as stream:
        return "".join([delta async for delta in stream.stream_text(delta=True)])


async def agent_streamed_on_responses() -> str:
    return await agent_streamed(responses)


async def agent_streamed_on_messages() -> str:
    return await agent_streamed(messages)


async def agent_with_form(model: Model = chat) -> Person:
    agent = Agent(model, tools=[get_weather], output_type=Person)
    return (await agent.run(PROMPT)).output


async def agent_with_form_on_responses() -> Person:
    return await agent_with_form(responses)


async def agent_with_form_on_messages() -> Person:
    return await agent_with_form(messages)


async def form_streamed() -> Person:
    async with Agent(chat, output_type=Person).run_stream("Who is Ada?") as stream:
        return await stream.get_output()


async def forms() -> list[Person]:
    outputs = [NativeOutput(Person), PromptedOutput(Person)]
    return [
        (await Agent(chat, output_type=output).run("Who is Ada?")).output
        for output in outputs
    ]


serve(
    agent,
    agent_on_responses,
    agent_on_messages,
    agent_streamed,
    agent_streamed_on_responses,
    agent_streamed_on_messages,
    agent_with_form,
    agent_with_form_on_responses,
    agent_with_form_on_messages,
    form_streamed,
    forms,
)
