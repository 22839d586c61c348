"""OpenAI's Agents SDK, by default with the Responses API."""

from typing import Literal

from agents import (
    Agent,
    OpenAIConversationsSession,
    OpenAIProvider,
    OpenAIResponsesCompactionSession,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
)
from kit import MODEL, PIXEL, PROMPT, Person, get_weather, serve, wait_if_killed

weather = Agent(
    name="Weather",
    model=MODEL,
    tools=[function_tool(get_weather)],
    instructions="Help.",
)
RESPONSES = RunConfig()
CHAT = RunConfig(model_provider=OpenAIProvider(use_responses=False))


async def tools(config: RunConfig = RESPONSES) -> str:
    return (await Runner.run(weather, PROMPT, run_config=config)).final_output


async def streamed(config: RunConfig = RESPONSES) -> str:
    result = Runner.run_streamed(weather, PROMPT, run_config=config)
    deltas = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event"
        and event.data.type == "response.output_text.delta"
    ]
    assert "".join(deltas) == result.final_output
    return result.final_output


async def handoff(config: RunConfig = RESPONSES) -> str:
    triage = Agent(name="Triage", model=MODEL, handoffs=[weather])
    result = await Runner.run(triage, PROMPT, run_config=config)
    return f"{result.last_agent.name}: {result.final_output}"


async def form(config: RunConfig = RESPONSES) -> str:
    agent = Agent(name="Form", model=MODEL, output_type=Person)
    return repr(
        (await Runner.run(agent, "Who is Ada?", run_config=config)).final_output
    )


async def second_turn(config: RunConfig = RESPONSES) -> str:
    first = await Runner.run(weather, PROMPT, run_config=config)
    said = [*first.to_input_list(), {"role": "user", "content": "And Bergen alone?"}]
    second = await Runner.run(weather, said, run_config=config)
    return f"{first.final_output} {second.final_output}"


async def chained() -> str:
    first = await Runner.run(weather, PROMPT)
    second = await Runner.run(
        weather, "And Bergen alone?", previous_response_id=first.last_response_id
    )
    return f"{first.final_output} {second.final_output}"


async def session() -> str:
    with_memory = SQLiteSession("judge")
    first = await Runner.run(weather, PROMPT, session=with_memory)
    second = await Runner.run(weather, "And Bergen alone?", session=with_memory)
    return f"{first.final_output} {second.final_output}"


async def conversation() -> str:
    kept_here = OpenAIConversationsSession()
    first = await Runner.run(weather, PROMPT, session=kept_here)
    second = await Runner.run(weather, "And Bergen alone?", session=kept_here)
    items = await kept_here.get_items()
    return f"{first.final_output} {second.final_output} {len(items)} items"


async def conversation_image() -> str:
    kept_here = OpenAIConversationsSession()
    seer = Agent(name="Seer", model=MODEL)
    shown = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
    ]
    given = [{"role": "user", "content": shown}]
    first = await Runner.run(seer, given, session=kept_here)
    second = await Runner.run(seer, "And now?", session=kept_here)
    return f"{first.final_output} {second.final_output}"


async def compacted(mode: Literal["auto", "input"] = "auto") -> str:
    shortened = OpenAIResponsesCompactionSession(
        "judge",
        SQLiteSession("judge"),
        model="gpt-5-mini",  # it takes names of OpenAI's alone
        compaction_mode=mode,
        should_trigger_compaction=lambda _: True,
    )
    await Runner.run(weather, PROMPT, session=shortened)
    kept = [item["type"] for item in await shortened.get_items()]
    wait_if_killed()
    result = await Runner.run(weather, "What did you say?", session=shortened)
    return f"{' '.join(kept)}: {result.final_output}"


async def compacted_input() -> str:
    return await compacted("input")


async def compaction() -> str:
    memory = SQLiteSession("alone")
    call = {"call_id": "a", "type": "function_call", "name": "get_weather"}
    output = {"call_id": "a", "type": "function_call_output", "output": "-3"}
    asked = {"role": "user", "content": PROMPT}
    await memory.add_items([asked, call | {"arguments": "{}"}, output])
    shortened = OpenAIResponsesCompactionSession("judge", memory, model="gpt-5-mini")
    await shortened.run_compaction({"force": True, "compaction_mode": "input"})
    [said, summary] = await shortened.get_items()
    return f"{said['content'][0]['text']} {summary['encrypted_content']}"


async def chat_tools() -> str:
    return await tools(CHAT)


async def chat_streamed() -> str:
    return await streamed(CHAT)


async def chat_handoff() -> str:
    return await handoff(CHAT)


async def chat_form() -> str:
    return await form(CHAT)


async def chat_second_turn() -> str:
    return await second_turn(CHAT)


serve(
    tools,
    streamed,
    handoff,
    form,
    second_turn,
    chained,
    session,
    conversation,
    conversation_image,
    compacted,
    compacted_input,
    compaction,
    chat_tools,
    chat_streamed,
    chat_handoff,
    chat_form,
    chat_second_turn,
)
