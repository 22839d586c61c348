"""`POST /prompt/` with messages, tools, formats, and runs that are continued."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import update

from llamakeep.api.prompts.request import PromptRequest
from llamakeep.domain import (
    Capabilities,
    Image,
    Message,
    Parameters,
    Text,
    ToolCall,
    ToolResult,
)
from llamakeep.domain.messages import message_of
from llamakeep.errors import InvalidRequest, UnsupportedParameter
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.settings import Settings
from llamakeep.storage.database.tables import runs
from tests.api.serving import BOB, PROMPT, Client, connect
from tests.fakes import ScriptedProvider
from tests.images import data_url, hash_of, png

PNG = png()
ADDRESS = "https://example.com/cat.png"
FUNCTION = {"name": "get_weather", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "city", "schema": {"type": "object"}},
}
ARGUMENTS = '{"city":"Oslo"}'
CALLING = (
    ItemBegun(ToolCall("a", "get_weather")),
    ItemText(ARGUMENTS),
    ItemBegun(ToolCall("b", "now")),
)
CALLS = [ToolCall("a", "get_weather", ARGUMENTS), ToolCall("b", "now")]
ASKS = {"role": "user", "content": "Is it cold?"}


def result(call_id: Any = "a", **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "-3"} | fields


def calling(*calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [*calls]}


def call(call_id: Any = "a", **changes: Any) -> dict[str, Any]:
    called = {"name": "get_weather", "arguments": ARGUMENTS}
    return {"id": call_id, "type": "function", "function": called} | changes


async def sent(client: Client, **body: Any) -> dict[str, Any]:
    """Send a prompt that is answered, and return its run."""
    response = await client.post("/prompt/", json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_messages_reach_the_model_and_are_kept(
    client: Client, provider: ScriptedProvider
) -> None:
    run = await sent(
        client,
        messages=[
            {"role": "system", "content": "Be brief."},
            ASKS,
            calling(call()),
            result(),
        ],
    )

    [request] = provider.requests
    [kept] = await client.history()
    assert request.messages == (
        Message("system", "Be brief."),
        Message("user", "Is it cold?"),
        message_of("assistant", [CALLS[0]]),
        message_of("tool", [ToolResult("a", "-3")]),
    )
    assert kept["id"] == run["id"]
    assert (kept["prompt"], kept["system_prompt"]) == ("-3", "Be brief.")
    assert kept["last_message"]["parts"] == [
        {"type": "tool_result", "call_id": "a", "text": "-3"}
    ]


async def test_a_prompt_is_the_same_as_a_message_of_the_user(
    client: Client, provider: ScriptedProvider
) -> None:
    system = {"system_prompt": "Be brief."}
    await sent(client, prompt="Hi", **system)
    await sent(client, messages=[{"role": "user", "content": "Hi"}], **system)

    first, second = provider.requests
    assert first.messages == second.messages
    new, old = await client.history()
    assert new["prompt"] == old["prompt"] == "Hi"
    assert new["last_message"] is None


async def test_tools_formats_and_effort_reach_the_model(
    client: Client, provider: ScriptedProvider
) -> None:
    asked = {
        "tools": [TOOL],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": SCHEMA,
        "reasoning_effort": "high",
    }

    await sent(client, **PROMPT, **asked)
    await sent(client, **PROMPT, tools=[], response_format={"type": "text"})

    first, second = provider.requests
    assert first.parameters == Parameters(
        tools=(TOOL,),
        tool_choice="required",
        parallel_tool_calls=False,
        response_format=SCHEMA,
        reasoning_effort="high",
    )
    assert second.parameters == Parameters()
    assert (await client.history())[1]["parameters"] == asked


@pytest.mark.parametrize("by", ["previous_run_id", "conversation_id"])
async def test_results_continue_the_run_that_called(
    settings: Settings, by: str
) -> None:
    provider = ScriptedProvider(CALLING)
    async with connect(settings, provider) as client:
        run = await sent(client, prompt="Is it cold?", tools=[TOOL], system_prompt="!")
        provider.script = ("Yes.",)
        reference = {by: run["id" if by == "previous_run_id" else by]}
        end = await sent(
            client, messages=[result("b", content=""), result()], **reference
        )
        asking = await sent(
            client, prompt="Sure?", conversation_id=end["conversation_id"]
        )

    assert [item["type"] for item in run["output"]] == ["tool_call"] * 2
    loop = (
        Message("system", "!"),
        Message("user", "Is it cold?"),
        message_of("assistant", CALLS),
        message_of("tool", [ToolResult("b", "")]),
        message_of("tool", [ToolResult("a", "-3")]),
    )
    assert provider.requests[1].messages == loop
    assert provider.requests[2].messages == (
        *loop,
        Message("assistant", "Yes."),
        Message("user", "Sure?"),
    )
    assert run["conversation_id"] == end["conversation_id"] == asking["conversation_id"]


async def test_a_run_can_be_continued_twice(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await sent(client, prompt="One")
    for prompt in ("Two", "Another two"):
        await sent(client, prompt=prompt, previous_run_id=first["id"])

    assert [message.content for message in provider.requests[2].messages] == [
        "One",
        "Hello, world",
        "Another two",
    ]


async def test_a_prompt_may_follow_nothing_of_its_conversation(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await sent(client, prompt="One", system_prompt="Be brief.")
    here = {"conversation_id": first["conversation_id"]}

    anew = await sent(client, prompt="One, edited", previous_run_id="none", **here)
    after = await sent(client, prompt="Two", previous_run_id=anew["id"])
    exported = (await client.get("/history/export")).content
    moved = await client.post(
        "/history/import",
        content=exported,
        headers=BOB | {"Content-Type": "application/x-ndjson"},
    )

    told = [[each.content for each in one.messages] for one in provider.requests]
    assert told[1:] == [
        ["One, edited"],
        ["One, edited", "Hello, world", "Two"],
    ]
    assert {run["conversation_id"] for run in (first, anew, after)} == {*here.values()}
    followed = [run["previous_run_id"] for run in await client.history()]
    assert followed == [anew["id"], "none", None]
    assert moved.status_code == 200, moved.text
    his = await client.history(**BOB)
    assert [run["previous_run_id"] for run in his] == [his[1]["id"], "none", None]


async def test_a_first_prompt_may_say_that_it_follows_nothing(client: Client) -> None:
    run = await sent(client, prompt="One", previous_run_id="none")

    assert run["previous_run_id"] is None
    elsewhere = await client.post(
        "/prompt/",
        json=PROMPT | {"previous_run_id": "none", "conversation_id": "conv_1"},
    )
    assert elsewhere.status_code == 404


@pytest.mark.parametrize(
    "body", [{"prompt": "Never mind"}, {"messages": [ASKS]}], ids=["prompt", "message"]
)
async def test_calls_may_be_left_without_results(
    settings: Settings, body: dict[str, Any]
) -> None:
    async with connect(settings, ScriptedProvider(CALLING)) as client:
        run = await sent(client, prompt="Hi", tools=[TOOL])

        assert await sent(client, **body, previous_run_id=run["id"])


@pytest.mark.parametrize(
    ("messages", "field", "told"),
    [
        ([result()], "messages", "'b'"),
        ([result("c")], "messages[0].tool_call_id", "'c'"),
        ([result(), result()], "messages[1].tool_call_id", "messages[0]"),
        ([ASKS, result()], "messages[1].tool_call_id", "no call 'a' before it"),
        ([result("b"), result(), ASKS, result()], "messages[3].tool_call_id", "'a'"),
    ],
)
async def test_results_that_do_not_fit_the_calls_of_a_run_are_refused(
    settings: Settings, messages: list[Any], field: str, told: str
) -> None:
    async with connect(settings, ScriptedProvider(CALLING)) as client:
        run = await sent(client, prompt="Hi", tools=[TOOL])
        response = await client.post(
            "/prompt/", json={"messages": messages, "previous_run_id": run["id"]}
        )
        kept = await client.history()

    [error] = response.json()["errors"]
    assert (response.status_code, error["field"]) == (422, field)
    assert told in error["message"]
    assert len(kept) == 1


async def test_only_an_answered_run_of_ones_own_can_be_continued(
    client: Client,
) -> None:
    run = await sent(client, **PROMPT)
    background = await client.begin()
    await client.post(f"/history/{background}/cancel")

    theirs = await client.post(
        "/prompt/", json=PROMPT | {"previous_run_id": run["id"]}, headers=BOB
    )
    nobodys = await client.post("/prompt/", json=PROMPT | {"previous_run_id": "run_1"})
    both = await client.post(
        "/prompt/",
        json=PROMPT
        | {"previous_run_id": run["id"], "conversation_id": run["conversation_id"]},
    )

    assert theirs.status_code == nobodys.status_code == 404
    assert [one["field"] for one in both.json()["errors"]] == ["previous_run_id"]
    assert len(await client.history()) == 2


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "Hi", "messages": [ASKS]}, "messages"),
    ({"prompt": None, "messages": None}, "prompt"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": ["Hi"]}, "messages.0"),
    ({"messages": [{}]}, "messages[0].role"),
    ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": " "}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
    (
        {"messages": [{"role": "user", "content": [{"type": {}}]}]},
        "messages[0].content[0]",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
    ),
    ({"messages": [ASKS, {"role": "assistant", "content": "A"}]}, "messages[1].role"),
    (
        {"messages": [{"role": "system", "content": "A"}, ASKS], "system_prompt": "B"},
        "system_prompt",
    ),
    ({"messages": [result()]}, "messages[0].tool_call_id"),
    ({"messages": [ASKS, result()]}, "messages[1].tool_call_id"),
    (
        {"messages": [ASKS, calling(call()), result(), result()]},
        "messages[3].tool_call_id",
    ),
    ({"messages": [ASKS, calling(call()), ASKS]}, "messages[1].tool_calls"),
    (
        {"messages": [ASKS, calling(call(), call()), result()]},
        "messages[1].tool_calls[1].id",
    ),
    ({"messages": [ASKS, calling(call(["a"])), result()]}, "messages[1].tool_calls[0]"),
    (
        {"messages": [ASKS, calling(call(function={"name": "f", "arguments": {}}))]},
        "messages[1].tool_calls[0].function.arguments",
    ),
    ({"prompt": "Hi", "tools": [{"type": "function"}]}, "tools[0].function"),
    ({"prompt": "Hi", "tools": [TOOL, TOOL]}, "tools[1].function.name"),
    ({"prompt": "Hi", "tools": "f"}, "tools"),
    ({"prompt": "Hi", "tool_choice": "required"}, "tool_choice"),
    (
        {
            "prompt": "Hi",
            "tools": [TOOL],
            "tool_choice": {"type": "function", "function": {"name": "now"}},
        },
        "tool_choice.function.name",
    ),
    ({"prompt": "Hi", "response_format": {"type": "xml"}}, "response_format.type"),
    ({"prompt": "Hi", "response_format": {"type": ["text"]}}, "response_format.type"),
    (
        {"prompt": "Hi", "response_format": {"type": "json_schema"}},
        "response_format.json_schema",
    ),
    (
        {
            "prompt": "Hi",
            "response_format": {"type": "json_schema", "json_schema": {"schema": 5}},
        },
        "response_format.json_schema.schema",
    ),
    ({"prompt": "Hi", "reasoning_effort": ""}, "reasoning_effort"),
    ({"prompt": "Hi", "previous_run_id": 5}, "previous_run_id"),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=str)
async def test_what_is_wrong_is_named_and_not_kept(
    shared_client: Client, body: dict[str, Any], field: str
) -> None:
    response = await shared_client.post("/prompt/", json=body)

    assert response.status_code == 422, response.text
    [error] = response.json()["errors"]
    assert error["field"].startswith(field)
    assert error["message"].endswith(".")
    assert await shared_client.history() == []


NAMES = [
    *("role", "content", "name", "type", "text", "refusal", "image_url", "url", "id"),
    *("tool_calls", "tool_call_id", "function", "arguments", "reasoning_content"),
    *("json_schema", "schema", "strict", "parameters", "detail", "function_call"),
]
WORDS = [
    *("user", "assistant", "tool", "system", "text", "image_url", "function", "auto"),
    *("json_schema", "json_object", "required", "a", "", "{}"),
]
ANYTHING = st.recursive(
    st.sampled_from([*WORDS, None, True, 5, 2.5]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
        optional=dict.fromkeys(NAMES[1:], ANYTHING),
    ),
    min_size=1,
    max_size=3,
)


@given(
    MESSAGES,
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["tools", "tool_choice", "response_format", "images"], ANYTHING
        ),
    ),
)
def test_whatever_is_sent_is_read_or_refused_by_name(
    messages: list[Any], fields: dict[str, Any]
) -> None:
    named: list[Any] = ["nothing is wrong"]
    try:
        PromptRequest.model_validate({"messages": messages, **fields}).asked()
    except InvalidRequest as error:
        named = [each.field for each in error.errors]
    except UnsupportedParameter as error:
        named = [*error.parameters]
    except ValidationError as error:
        named = [each["loc"] for each in error.errors()]

    assert named
    assert all(named)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0]",
        ),
        (
            {"prompt": "Hi", "tools": [{"type": "web_search"}]},
            "tools[0].type",
        ),
        (
            {"messages": [ASKS | {"tool_calls": [call()]}]},
            "messages[0].tool_calls",
        ),
    ],
)
async def test_what_no_model_here_reads_is_refused_by_name(
    shared_client: Client, body: dict[str, Any], field: str
) -> None:
    response = await shared_client.post("/prompt/", json=body)

    problem = response.json()
    assert problem["type"] == "urn:llamakeep:problem:unsupported-parameter"
    assert [one["field"] for one in problem["errors"]] == [field]
    assert await shared_client.history() == []


async def test_a_model_without_tools_is_not_asked_and_another_is_named(
    settings: Settings,
) -> None:
    unable = ScriptedProvider(name="unable", unsupported=frozenset({"tools"}))
    async with connect(settings, unable, ScriptedProvider(name="able")) as client:
        asked = await client.post("/prompt/", json=PROMPT | {"tools": [TOOL]})
        told = await client.post(
            "/prompt/", json={"messages": [ASKS, calling(call()), result()]}
        )
        kept = await client.history()

    for response, field in ((asked, "tools"), (told, "messages[1].tool_calls")):
        problem = response.json()
        assert [one["field"] for one in problem["errors"]] == [field]
        assert "such as able:parrot" in problem["detail"]
    assert kept == []


async def test_an_image_beside_a_prompt_is_the_same_as_one_in_a_message(
    client: Client, provider: ScriptedProvider
) -> None:
    url = data_url(PNG)
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": {"url": ADDRESS}},
    ]
    run = await sent(client, prompt="What is this?", images=[url, ADDRESS])
    await sent(client, messages=[{"role": "user", "content": content}])

    first, second = provider.requests
    assert first.messages == second.messages
    assert first.messages[0].parts == (
        Text("What is this?"),
        Image(hash_of(PNG), "image/png", len(PNG)),
        Image(url=ADDRESS),
    )
    new, old = await client.history()
    assert new["prompt"] == old["prompt"] == "What is this?"
    shown = await client.get(f"/history/{run['id']}/images/{hash_of(PNG)}")
    assert shown.content == PNG


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "Hi", "images": ["http://example.com/a.png"]}, "images[0]"),
        ({"prompt": "Hi", "images": [data_url(PNG), "data:image/png;,"]}, "images[1]"),
        ({"prompt": "Hi", "images": [data_url(PNG[:20])]}, "images[0]"),
        ({"prompt": "Hi", "images": [ADDRESS] * 101}, "images"),
        ({"prompt": "Hi", "images": ADDRESS}, "images"),
        ({"images": [ADDRESS]}, "prompt"),
        ({"messages": [ASKS], "images": [ADDRESS]}, "images"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_images_that_cannot_be_taken_are_named(
    shared_client: Client, body: dict[str, Any], field: str
) -> None:
    response = await shared_client.post("/prompt/", json=body)

    assert response.status_code == 422
    assert [one["field"] for one in response.json()["errors"]] == [field]
    assert await shared_client.history() == []


async def test_a_model_that_sees_no_images_is_not_asked_and_another_is_named(
    settings: Settings,
) -> None:
    blind = ScriptedProvider(name="blind")
    blind.able["parrot"] = Capabilities(images=False)
    async with connect(settings, blind, ScriptedProvider(name="able")) as client:
        beside = await client.post("/prompt/", json=PROMPT | {"images": [ADDRESS]})
        content = [{"type": "image_url", "image_url": {"url": ADDRESS}}]
        within = await client.post(
            "/prompt/", json={"messages": [{"role": "user", "content": content}]}
        )
        kept = await client.history()

    for response, field in (
        (beside, "images[0]"),
        (within, "messages[0].content[0].image_url"),
    ):
        problem = response.json()
        assert [one["field"] for one in problem["errors"]] == [field]
        assert "such as able:parrot" in problem["detail"]
    assert kept == []


KEY = {"Idempotency-Key": "4b11"}


async def test_a_key_covers_messages_tools_and_what_is_continued(
    client: Client,
) -> None:
    body = {"messages": [ASKS], "tools": [TOOL]}
    first = await client.post("/prompt/", json=body, headers=KEY)

    again = await client.post("/prompt/", json=body, headers=KEY)
    changes: list[dict[str, Any]] = [
        {"messages": [ASKS, ASKS]},
        {"tools": []},
        {"previous_run_id": first.json()["id"]},
        {"reasoning_effort": "low"},
    ]
    others = [
        await client.post("/prompt/", json=body | change, headers=KEY)
        for change in changes
    ]

    assert again.json() == first.json()
    assert {other.status_code for other in others} == {422}
    assert len(await client.history()) == 1


async def test_a_prompt_with_tools_is_none_that_an_older_version_kept(
    client: Client,
) -> None:
    await client.post("/prompt/", json={"prompt": "Hi"}, headers=KEY)
    older = "19328549231be17eaf30f22029314a4f51240e8b155762dbee326905fc32ddee"
    kept = update(runs).values(request_digest=bytes.fromhex(older))
    await client.storage._database.write(
        lambda connection: connection.execute(kept).close()
    )

    again = await client.post("/prompt/", json={"prompt": "Hi"}, headers=KEY)
    other = await client.post(
        "/prompt/", json={"prompt": "Hi", "tools": [TOOL]}, headers=KEY
    )

    assert again.status_code == 200
    assert other.status_code == 422
    assert len(await client.history()) == 1
