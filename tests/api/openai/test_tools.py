"""Chat completions with tools: what the model is asked, and what is refused."""

import json
import time
from typing import Any

import pytest
from pydantic import ByteSize

from llamakeep.api.openai.messages import read_messages
from llamakeep.domain import (
    Message,
    Parameters,
    Reasoning,
    Refusal,
    Run,
    Text,
    ToolCall,
    ToolResult,
    UserRole,
)
from llamakeep.domain.messages import message_of
from llamakeep.errors import InvalidRequest
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, HI, error
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

FUNCTION: dict[str, Any] = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}
TOOL = {"type": "function", "function": FUNCTION}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
CALLED = {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
ASKS = {"role": "user", "content": "Is it cold?"}
CALL_A, CALL_B = ToolCall("a", "get_weather", '{"city":"Oslo"}'), ToolCall("b", "now")


def call(call_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": CALLED} | changes


def calling(*calls: Any, **fields: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": None, "tool_calls": [*calls]}
    return said | fields


def result(call_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "-3"} | fields


async def sent(client: Client, *messages: Any, **fields: Any) -> Run:
    """Send messages, and return the run that is kept."""
    response = await client.post(CHAT, json={"messages": messages} | fields)
    assert response.status_code == 200, response.text
    alice = await client.alice()
    run_id = response.json()["id"].replace("chatcmpl-", "run_")
    return await client.storage.get_run(alice, run_id)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tools": [TOOL]}, Parameters(tools=(TOOL,))),
        (
            {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
            Parameters(
                tools=(TOOL,), tool_choice="required", parallel_tool_calls=False
            ),
        ),
        (
            {"tools": [TOOL], "tool_choice": NAMED},
            Parameters(tools=(TOOL,), tool_choice=NAMED),
        ),
        (
            {"functions": [FUNCTION], "function_call": {"name": "get_weather"}},
            Parameters(tools=(TOOL,), tool_choice=NAMED, parallel_tool_calls=False),
        ),
        (
            {"functions": [FUNCTION], "function_call": "auto"},
            Parameters(tools=(TOOL,), tool_choice="auto", parallel_tool_calls=False),
        ),
        (
            {"reasoning_effort": "high", "verbosity": "low"},
            Parameters(reasoning_effort="high", verbosity="low"),
        ),
        ({"reasoning_effort": "none"}, Parameters(reasoning_effort="none")),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "strict": None}}
                ]
            },
            Parameters(tools=({"type": "function", "function": {"name": "f"}},)),
        ),
    ],
)
async def test_tools_and_effort_reach_the_model(
    client: Client,
    provider: ScriptedProvider,
    fields: dict[str, Any],
    expected: Parameters,
) -> None:
    run = await sent(client, ASKS, **fields)

    assert provider.requests[0].parameters == expected
    assert run.parameters.given() == json.loads(json.dumps(expected.given()))


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
        {"tools": None, "tool_choice": "none", "parallel_tool_calls": False},
        {"functions": [], "function_call": "none", "tools": []},
        {"verbosity": "medium"},
    ],
)
async def test_without_tools_nothing_is_asked_of_the_model(
    client: Client, provider: ScriptedProvider, fields: dict[str, Any]
) -> None:
    run = await sent(client, ASKS, **fields)

    assert provider.requests[0].parameters == run.parameters == Parameters()


async def test_a_tool_loop_is_handed_on_and_kept(
    client: Client, provider: ScriptedProvider
) -> None:
    run = await sent(
        client,
        {"role": "system", "content": "Be brief."},
        ASKS,
        calling(
            call("a"),
            call(
                "b",
                function={"name": "now", "arguments": "", "parsed_arguments": {"a": 1}},
                index=1,
            ),
            reasoning_content="Where?",
            content="I look.",
        ),
        result("b", content=[{"type": "text", "text": "noon"}]),
        result("a", name="get_weather"),
        tools=[TOOL],
    )

    said = [
        Message("user", "Is it cold?"),
        message_of("assistant", [Reasoning("Where?"), Text("I look."), CALL_A, CALL_B]),
        message_of("tool", [ToolResult("b", "noon")]),
    ]
    last = message_of("tool", [ToolResult("a", "-3")], "get_weather")
    assert provider.requests[0].messages == (
        Message("system", "Be brief."),
        *said,
        last,
    )
    assert (run.prompt, run.last_message) == ("-3", last)
    assert run.prior_messages == tuple(said)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (calling(call(), content=""), message_of("assistant", [CALL_A])),
        (
            {"role": "assistant", "content": None, "refusal": "No."},
            message_of("assistant", [Refusal("No.")]),
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            message_of("assistant", [Refusal("No.")]),
        ),
        (
            {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."},
            message_of("assistant", [Reasoning("Hm."), Text("Yes.")]),
        ),
        (
            {
                "role": "assistant",
                "content": "Yes.",
                "refusal": None,
                "annotations": [],
                "audio": None,
                "function_call": None,
                "tool_calls": None,
            },
            Message("assistant", "Yes."),
        ),
    ],
)
async def test_answers_come_back_as_they_were(
    client: Client,
    provider: ScriptedProvider,
    message: dict[str, Any],
    expected: Message,
) -> None:
    results = [result()] if message.get("tool_calls") else []

    run = await sent(client, ASKS, message, *results, ASKS)

    assert provider.requests[0].messages[1] == expected
    assert run.prior_messages[1] == expected
    assert run.last_message is None


async def test_an_id_of_a_call_may_hold_what_a_gateway_hides_in_it(
    client: Client, provider: ScriptedProvider
) -> None:
    long = f"call_a__thought__{'c2ln' * 1000}"

    run = await sent(client, ASKS, calling(call(long)), result(long))

    assert provider.requests[0].messages[2].parts == (ToolResult(long, "-3"),)
    exported = (await client.get("/history/export")).content
    await client.delete(f"/history/{run.id}")
    await client.post(
        "/history/import",
        content=exported,
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert (await client.get("/history/export")).content == exported


async def test_functions_and_their_results_are_calls_of_tools(
    client: Client, provider: ScriptedProvider
) -> None:
    run = await sent(
        client,
        ASKS,
        {"role": "assistant", "content": None, "function_call": CALLED},
        {"role": "function", "name": "get_weather", "content": "-3"},
        functions=[FUNCTION],
    )

    called = ToolCall("call_1", "get_weather", '{"city":"Oslo"}')
    assert provider.requests[0].messages[1:] == (
        message_of("assistant", [called]),
        message_of("tool", [ToolResult("call_1", "-3")]),
    )
    assert run.prompt == "-3"


async def test_a_system_message_may_be_the_last_one(
    client: Client, provider: ScriptedProvider
) -> None:
    rule = {"role": "developer", "content": "Be kind."}

    run = await sent(client, {"role": "system", "content": "Be brief."}, ASKS, rule)
    alone = await sent(client, rule)

    assert provider.requests[0].messages == (
        Message("system", "Be brief."),
        Message("user", "Is it cold?"),
        Message("system", "Be kind."),
    )
    assert run.last_message == alone.last_message == Message("system", "Be kind.")
    assert alone.system_prompt is None


async def test_a_user_with_a_name_may_be_the_last_one(client: Client) -> None:
    run = await sent(client, ASKS | {"name": "ann"})

    assert run.last_message == Message("user", "Is it cold?", "ann")


async def test_the_same_id_may_be_called_again_later(client: Client) -> None:
    turn = [ASKS, calling(call()), result()]

    run = await sent(client, *turn, *turn)

    assert run.prompt == "-3"


NO_NAME = {"type": "function", "function": {"parameters": {}}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [NO_NAME]}, "tools[0].function.name"),
        ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
        ({"tools": [TOOL | {"cached": 1}]}, "tools[0].cached"),
        ({"functions": [{"name": "a b"}]}, "functions[0].name"),
        ({"functions": [FUNCTION, FUNCTION]}, "functions[1].name"),
        ({"functions": ["f"]}, "functions[0]"),
        ({"tools": [TOOL], "functions": [FUNCTION]}, "functions"),
        ({"tools": [TOOL], "function_call": {"name": "f"}}, "function_call"),
        ({"function_call": {"name": "f"}}, "function_call.name"),
        ({"functions": [FUNCTION], "function_call": "any"}, "function_call"),
        ({"functions": [FUNCTION], "tool_choice": "required"}, "functions"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": NAMED}, "tool_choice.function.name"),
        ({"tool_choice": "any", "tools": [TOOL]}, "tool_choice"),
        ({"tool_choice": ["auto"], "tools": [TOOL]}, "tool_choice"),
        ({"tool_choice": {}, "tools": [TOOL]}, "tool_choice.type"),
        (
            {"tool_choice": {"type": "function"}, "tools": [TOOL]},
            "tool_choice.function.name",
        ),
        (
            {
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "tools": [TOOL],
            },
            "tool_choice.function.name",
        ),
        (
            {"tools": [TOOL], "tool_choice": NAMED | {"mode": "auto"}},
            "tool_choice.mode",
        ),
        (
            {"functions": [FUNCTION], "function_call": {"name": "get_weather", "x": 1}},
            "function_call.x",
        ),
        ({"tools": [TOOL], "parallel_tool_calls": "maybe"}, "parallel_tool_calls"),
        ({"reasoning_effort": 5}, "reasoning_effort"),
        ({"verbosity": ""}, "verbosity"),
    ],
)
async def test_invalid_tools_are_refused_where_they_are(
    shared_client: Client, fields: dict[str, Any], param: str
) -> None:
    response = await shared_client.post(CHAT, json=HI | fields)

    found = error(response)
    assert response.status_code == 400
    assert found["param"] == param
    assert found["message"]
    assert await shared_client.history() == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": "a b"}, ".name"),
        ({"name": ""}, ".name"),
        ({"name": "x" * 65}, ".name"),
        ({"name": "temp\u00e9rature"}, ".name"),
        ({"name": 5}, ".name"),
        ({"description": 5}, ".description"),
        ({"description": "a\0"}, ""),
        ({"parameters": []}, ".parameters"),
        ({"parameters": {"\ud800": 1}}, ""),
        ({"strict": "yes"}, ".strict"),
        ({"returns": {}}, ".returns"),
    ],
)
async def test_an_invalid_function_is_refused_where_it_is(
    shared_client: Client, change: dict[str, Any], param: str
) -> None:
    tool = {"type": "function", "function": FUNCTION | change}

    response = await shared_client.post(
        CHAT,
        content=json.dumps(HI | {"tools": [TOOL | {"function": {"name": "f"}}, tool]}),
        headers={"content-type": "application/json"},
    )

    assert response.status_code == 400
    assert error(response)["param"] == f"tools[1].function{param}"
    assert await shared_client.history() == []


@pytest.mark.parametrize(
    ("allowed", "param"),
    [
        (None, ""),
        ({"tools": []}, ".tools"),
        ({"tools": ["f"]}, ".tools[0]"),
        ({"tools": [{"type": "mcp"}]}, ".tools[0].type"),
        ({"tools": [{"type": "function"}]}, ".tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "g"}}]},
            ".tools[0].function.name",
        ),
        ({"mode": "none", "tools": [TOOL]}, ".mode"),
        ({"mode": "auto", "tools": [TOOL], "more": 1}, ".more"),
    ],
)
async def test_a_choice_among_tools_is_refused_where_it_makes_no_sense(
    shared_client: Client, allowed: Any, param: str
) -> None:
    choice = {"type": "allowed_tools", "allowed_tools": allowed}

    response = await shared_client.post(
        CHAT, json=HI | {"tools": [TOOL], "tool_choice": choice}
    )

    assert response.status_code == 400
    assert error(response)["param"] == f"tool_choice.allowed_tools{param}"
    assert await shared_client.history() == []


async def test_a_model_may_be_told_of_128_tools(client: Client) -> None:
    tools = [
        {"type": "function", "function": {"name": f"f{number}"}}
        for number in range(129)
    ]

    await sent(client, ASKS, tools=tools[:128])
    refused = await client.post(CHAT, json=HI | {"tools": tools})

    assert error(refused)["param"] == "tools"
    assert "129" in error(refused)["message"]


async def test_the_deepest_schema_that_is_taken_can_be_shown_and_exported(
    client: Client,
) -> None:
    taken = []
    for depth in (*range(80, 110), 200, 253, 400):
        schema: dict[str, Any] = {}
        for _ in range(depth):
            schema = {"a": schema}
        tool = {"type": "function", "function": FUNCTION | {"parameters": schema}}
        response = await client.post(CHAT, json=HI | {"tools": [tool]})
        assert response.status_code in (200, 400), response.text
        taken.append(response.status_code == 200)

    assert taken == sorted(taken, reverse=True)
    assert taken[0]
    shown = await client.get("/history/", params={"limit": 200})
    exported = await client.get("/history/export")
    assert shown.status_code == exported.status_code == 200
    assert len(exported.text.splitlines()) == sum(taken)


@pytest.mark.parametrize("depth", [5_000, 50_000])
async def test_a_schema_that_is_nested_too_deeply_is_refused(
    shared_client: Client, depth: int
) -> None:
    deep = '{"a":' * depth + "{}" + "}" * depth
    tool = TOOL | {"function": FUNCTION | {"parameters": "DEEP"}}
    body = json.dumps(HI | {"tools": [tool]}).replace('"DEEP"', deep)

    response = await shared_client.post(
        CHAT, content=body, headers={"content-type": "application/json"}
    )

    assert response.status_code == 400
    assert await shared_client.history() == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [TOOL, {"type": "mcp"}]}, "tools[1].type"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "custom"}},
            "tool_choice.type",
        ),
    ],
)
async def test_tools_that_are_no_functions_are_refused_by_name(
    shared_client: Client, fields: dict[str, Any], param: str
) -> None:
    response = await shared_client.post(CHAT, json=HI | fields)

    found = error(response)
    kind = (fields.get("tool_choice") or fields["tools"][-1])["type"]
    assert (response.status_code, found["code"]) == (400, "unsupported_parameter")
    assert found["param"] == param
    assert kind in found["message"]
    assert await shared_client.history() == []


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([result()], "messages[0].tool_call_id"),
        ([ASKS, result()], "messages[1].tool_call_id"),
        ([ASKS, calling(call()), result("b")], "messages[2].tool_call_id"),
        ([ASKS, calling(call()), result(), result()], "messages[3].tool_call_id"),
        ([ASKS, calling(call()), result(None)], "messages[2].tool_call_id"),  # type: ignore[arg-type]
        ([ASKS, calling(call()), result("x" * 32_769)], "messages[2].tool_call_id"),
        ([ASKS, calling(call()), result(content=None)], "messages[2].content"),
        ([ASKS, calling(call()), result(name=5)], "messages[2].name"),
        ([ASKS, calling(call()), result(), ASKS, result()], "messages[4].tool_call_id"),
        ([ASKS, calling(call())], "messages[1].tool_calls"),
        ([ASKS, calling(call()), ASKS], "messages[1].tool_calls"),
        ([calling(call()), calling(call("b")), ASKS], "messages[0].tool_calls"),
        ([calling(call(), call()), ASKS], "messages[0].tool_calls[1].id"),
        ([calling(call(None)), ASKS], "messages[0].tool_calls[0].id"),  # type: ignore[arg-type]
        ([calling(call("")), ASKS], "messages[0].tool_calls[0].id"),
        ([calling("f"), ASKS], "messages[0].tool_calls[0]"),
        ([calling(call(function=None)), ASKS], "messages[0].tool_calls[0].function"),
        (
            [calling(call(function={"name": "f", "arguments": {}})), ASKS],
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            [calling(call(function={"name": "f", "arguments": "\0"})), ASKS],
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            [calling(call(function={"arguments": ""})), ASKS],
            "messages[0].tool_calls[0].function.name",
        ),
        ([calling(tool_calls={"a": 1}), ASKS], "messages[0].tool_calls"),
        (
            [calling(call(), function_call={"name": "f", "arguments": ""}), ASKS],
            "messages[0].function_call",
        ),
        ([{"role": "function", "name": "f", "content": "5"}], "messages[0].name"),
        (
            [
                {"role": "assistant", "function_call": {"name": "f", "arguments": ""}},
                {"role": "function", "name": "g", "content": "5"},
            ],
            "messages[1].name",
        ),
        ([{"role": "assistant", "refusal": 5}, ASKS], "messages[0].refusal"),
        (
            [{"role": "assistant", "reasoning_content": "\0"}, ASKS],
            "messages[0].reasoning_content",
        ),
        ([ASKS, {"role": "system", "content": " "}], "messages[1].content"),
        (
            [ASKS, {"role": "assistant", "content": "It", "refusal": "No."}],
            "messages[1]",
        ),
    ],
)
async def test_invalid_calls_and_results_are_refused_where_they_are(
    shared_client: Client, messages: list[Any], param: str
) -> None:
    response = await shared_client.post(CHAT, json={"messages": messages})

    found = error(response)
    assert response.status_code == 400
    assert (found["param"], found["code"]) == (param, "invalid_value")
    assert await shared_client.history() == []


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([ASKS | {"tool_calls": [call()]}], "messages[0].tool_calls"),
        ([calling(call(type="custom")), ASKS], "messages[0].tool_calls[0].type"),
        ([calling(call(cached=True)), ASKS], "messages[0].tool_calls[0].cached"),
        (
            [calling(call(function=CALLED | {"cached": True})), ASKS],
            "messages[0].tool_calls[0].function.cached",
        ),
        ([ASKS, calling(call()), result(cached=True)], "messages[2].cached"),
        ([calling(audio={"id": "x"}), ASKS], "messages[0].audio"),
    ],
)
async def test_what_no_model_reads_of_a_message_is_refused_by_name(
    shared_client: Client, messages: list[Any], param: str
) -> None:
    response = await shared_client.post(CHAT, json={"messages": messages})

    found = error(response)
    assert response.status_code == 400
    assert (found["param"], found["code"]) == (param, "unsupported_parameter")
    assert await shared_client.history() == []


async def test_the_calls_without_a_result_are_named(shared_client: Client) -> None:
    messages = [ASKS, calling(call("a"), call("b"), call("c")), result("b"), ASKS]

    response = await shared_client.post(CHAT, json={"messages": messages})

    assert "'a', 'c'" in error(response)["message"]


@pytest.mark.slow  # seconds
def test_ten_times_as_many_calls_take_about_ten_times_as_long_to_read() -> None:
    few, many = (seconds_to_read(count) for count in (2000, 20_000))

    assert many < 30 * few


def seconds_to_read(count: int) -> float:
    """Return the CPU time of reading so many calls, with and without results."""
    ids = [f"c{number}" for number in range(count)]
    at_once = [calling(*map(call, ids)), *map(result, reversed(ids))]
    in_turn = [one for each in ids for one in (calling(call(each)), result(each))]
    without_result = [calling(*map(call, ids)), ASKS]
    begun = time.process_time()

    read_messages(at_once)
    read_messages(in_turn)
    with pytest.raises(InvalidRequest) as refused:
        read_messages(without_result)

    assert len(str(refused.value.errors)) < 1000
    return time.process_time() - begun


UNABLE = frozenset({"tools", "tool_choice", "parallel_tool_calls"})


async def test_a_provider_without_tools_is_not_asked_and_another_model_is_named(
    settings: Settings,
) -> None:
    unable = ScriptedProvider(name="unable", unsupported=UNABLE)
    able = ScriptedProvider(name="able")
    async with connect(settings, unable, able) as client:
        choice = {"tool_choice": "auto", "parallel_tool_calls": False}
        asked = await client.post(CHAT, json=HI | {"tools": [TOOL]} | choice)
        told = await client.post(
            CHAT, json={"messages": [ASKS, calling(call()), result()]}
        )
        kept = await client.history()
        fine = await client.post(
            CHAT,
            json={"messages": [ASKS, {"role": "assistant", "refusal": "No."}, ASKS]},
        )

    assert (asked.status_code, error(asked)["param"]) == (400, "tools")
    assert "cannot honour: tools. " in error(asked)["message"]
    assert "such as able:parrot" in error(asked)["message"]
    assert told.status_code == 400
    assert error(told)["param"] == "messages[1].tool_calls"
    assert "'a'" in error(told)["message"]
    assert "such as able:parrot" in error(told)["message"]
    assert kept == []
    assert fine.status_code == 200


async def test_a_conversation_with_calls_goes_to_no_provider_without_tools(
    settings: Settings,
) -> None:
    unable = ScriptedProvider(name="unable", unsupported=UNABLE)
    able = ScriptedProvider(name="able")
    async with connect(settings, unable, able) as client:
        run = await sent(client, ASKS, calling(call()), result(), model="able:parrot")
        going_on = {"prompt": "And now?", "conversation_id": run.conversation_id}
        refused = await client.post("/prompt/", json=going_on)
        answered = await client.post(
            "/prompt/", json=going_on | {"model": "able:parrot"}
        )

    assert refused.status_code == 422
    assert "such as able:parrot" in refused.json()["detail"]
    assert answered.status_code == 200
    assert unable.requests == []


async def test_tools_count_for_what_a_model_is_given_at_most(
    settings: Settings,
) -> None:
    long = TOOL | {"function": FUNCTION | {"description": "x" * 3000}}
    bounds = {"max_context_size": ByteSize(2048)}
    async with connect(
        settings.model_copy(update=bounds), ScriptedProvider()
    ) as client:
        refused = await client.post(CHAT, json=HI | {"tools": [long]})
        taken = await client.post(CHAT, json=HI | {"tools": [TOOL]})
        kept = await client.history()

    assert error(refused)["code"] == "context_length_exceeded"
    assert taken.status_code == 200
    assert len(kept) == 1


async def test_tools_count_for_limits_of_tokens(client: Client) -> None:
    admin = await client.let_in(
        await client.storage.add_user("root", None, role=UserRole.ADMIN)
    )
    known = await client.storage.find_credentials("alice")
    assert known is not None
    path = f"/admin/users/{known.user.id}/limits"
    await client.put(path, json={"tokens_per_day": 1000}, headers=admin)
    long = TOOL | {"function": FUNCTION | {"description": "x" * 3000}}
    small = HI | {"max_tokens": 10}

    refused = await client.post(CHAT, json=small | {"tools": [long]})
    taken = await client.post(CHAT, json=small | {"tools": [TOOL]})

    assert error(refused)["code"] == "insufficient_quota"
    assert taken.status_code == 200


KEY = {"Idempotency-Key": "0b5e-7"}


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [TOOL | {"function": {"name": "f"}}]},
        {"parallel_tool_calls": False},
        {"tool_choice": "required"},
        {"reasoning_effort": "low"},
        {"messages": [ASKS, calling(call()), result(content="5")]},
        {"messages": [ASKS, calling(call("b")), result("b")]},
    ],
)
async def test_a_key_covers_tools_calls_and_results(
    client: Client, change: dict[str, Any]
) -> None:
    body = {"messages": [ASKS, calling(call()), result()], "tools": [TOOL]}
    first = await client.post(CHAT, json=body, headers=KEY)

    again = await client.post(CHAT, json=body, headers=KEY)
    other = await client.post(CHAT, json=body | change, headers=KEY)

    assert again.json() == first.json()
    assert other.status_code == 422
    assert len(await client.history()) == 1
