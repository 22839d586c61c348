"""LangChain and LangGraph, with both of OpenAI's APIs."""

from typing import Annotated, TypedDict

from kit import MODEL, PROMPT, Person, get_weather, serve
from langchain.agents import create_agent
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition

chat = ChatOpenAI(model=MODEL)
responses = ChatOpenAI(model=MODEL, use_responses_api=True)
ASKED = {"messages": [HumanMessage(PROMPT)]}
AGAIN = {"messages": [HumanMessage("And Bergen alone?")]}


def agent_with(model: ChatOpenAI) -> str:
    agent = create_agent(model, [get_weather], checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "judge"}}
    first = agent.invoke(ASKED, thread)["messages"][-1].text
    second = agent.invoke(AGAIN, thread)["messages"][-1].text
    return f"{first} {second}"


def agent() -> str:
    return agent_with(chat)


def agent_on_responses() -> str:
    return agent_with(responses)


async def agent_streamed() -> str:
    agent = create_agent(chat, [get_weather])
    return "".join(
        [
            message.text
            async for message, about in agent.astream(ASKED, stream_mode="messages")
            if about["langgraph_node"] == "model"
        ]
    )


def agent_with_form() -> Person:
    agent = create_agent(chat, [get_weather], response_format=Person)
    return agent.invoke(ASKED)["structured_response"]


def form_by_method(model: ChatOpenAI, method: str) -> str:
    form = model.with_structured_output(Person, method=method)
    found = form.invoke("Who is Ada, as JSON?")
    *_, streamed = form.stream("Who is Ada, as JSON?")
    assert streamed == found
    return repr(found)


def forms() -> str:
    methods = ["function_calling", "json_mode", "json_schema"]
    return " ".join(form_by_method(chat, method) for method in methods)


def forms_on_responses() -> str:
    methods = ["function_calling", "json_mode", "json_schema"]
    return " ".join(form_by_method(responses, method) for method in methods)


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def graph() -> str:
    tools = [tool(get_weather)]
    model = chat.bind_tools(tools)
    builder = StateGraph(State)
    builder.add_node(
        "model", lambda state: {"messages": [model.invoke(state["messages"])]}
    )
    builder.add_node("tools", ToolNode(tools))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile().invoke(ASKED)["messages"][-1].text


serve(
    agent,
    agent_on_responses,
    agent_streamed,
    agent_with_form,
    forms,
    forms_on_responses,
    graph,
)
