"""LlamaIndex, whose class for servers that are like OpenAI's knows no model's name."""

import os

from kit import MODEL, PROMPT, Person, get_weather, serve
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.workflow import Context
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike, OpenAILikeResponses

SERVER = {
    "model": MODEL,
    "api_base": os.environ["OPENAI_BASE_URL"],
    "api_key": os.environ["OPENAI_API_KEY"],
    "is_chat_model": True,
    "is_function_calling_model": True,
    "max_retries": 0,
}
chat = OpenAILike(**SERVER)


async def agent() -> str:
    agent = FunctionAgent(tools=[get_weather], llm=chat)
    context = Context(agent)
    first = await agent.run(PROMPT, ctx=context)
    second = await agent.run("And Bergen alone?", ctx=context)
    return f"{first} {second}"


async def agent_streamed() -> str:
    running = FunctionAgent(tools=[get_weather], llm=chat).run(PROMPT)
    said = [
        event.delta
        async for event in running.stream_events()
        if isinstance(event, AgentStream)
    ]
    assert str(await running) == "".join(said)
    return "".join(said)


async def agent_on_responses() -> str:
    agent = FunctionAgent(
        tools=[get_weather], llm=OpenAILikeResponses(**SERVER, store=True)
    )
    return str(await agent.run(PROMPT))


def form() -> str:
    return repr(chat.as_structured_llm(Person).complete("Who is Ada?").raw)


def schema() -> str:
    llm = OpenAILike(**SERVER, should_use_structured_outputs=True)
    return repr(llm.as_structured_llm(Person).complete("Who is Ada?").raw)


def complete() -> str:
    whole = chat.complete("Hello?").text
    assert whole == "".join(one.delta for one in chat.stream_complete("Hello?"))
    return whole


def vectors() -> list[list[float]]:
    model = OpenAILikeEmbedding(
        model_name=MODEL,
        api_base=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
    )
    return model.get_text_embedding_batch(["Salt", "Pepper"])


serve(agent, agent_streamed, agent_on_responses, form, schema, complete, vectors)
