"""What can be asked for in Replicate's words, and what is refused by name."""

from typing import Any

import pytest

from llamakeep.api.replicate.predictions import pieces
from llamakeep.domain import Capabilities, Parameters
from llamakeep.settings import Settings
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

CREATE = "/replicate/v1/models/scripted/parrot/predictions"


def schema_form(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ({"max_tokens": 9}, {"max_tokens": 9}),
        ({"max_new_tokens": 9}, {"max_tokens": 9}),
        ({"max_length": 9}, {"max_tokens": 9}),
        ({"max_length": 9, "max_tokens": 9}, {"max_tokens": 9}),
        ({"min_tokens": 2}, {"min_tokens": 2}),
        ({"min_new_tokens": 2}, {"min_tokens": 2}),
        ({"min_tokens": 0}, {}),
        ({"min_new_tokens": -1}, {}),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 50}, None),
        ({"presence_penalty": 1.15, "frequency_penalty": 0.2}, None),
        ({"seed": 7}, {"seed": 7}),
        ({"seed": None}, {}),
        ({"stop_sequences": "<|end|>,<|eot|>"}, {"stop": ("<|end|>", "<|eot|>")}),
        ({"stop": " a"}, {"stop": (" a",)}),
        ({"stop_sequences": ""}, {}),
        ({"prompt_template": "", "length_penalty": 1, "debug": False}, {}),
        ({"repetition_penalty": 1.0, "log_performance_metrics": False}, {}),
        ({"max_completion_tokens": 9}, {"max_tokens": 9}),
        ({"max_output_tokens": 9}, {"max_tokens": 9}),
        ({"reasoning_effort": "low", "verbosity": "high"}, None),
        ({"json_schema": {}}, {}),
        ({"json_schema": {"format": {"type": "text"}}}, {}),
        (
            {"json_schema": {"format": {"type": "json_object"}}},
            {"response_format": {"type": "json_object"}},
        ),
        (
            {"json_schema": {"type": "object"}},
            {"response_format": schema_form("output", {"type": "object"})},
        ),
        (
            {
                "json_schema": {
                    "format": {
                        "type": "json_schema",
                        "name": "list",
                        "schema": {"type": "array"},
                    }
                }
            },
            {"response_format": schema_form("list", {"type": "array"})},
        ),
    ],
)
async def test_an_input_is_understood(
    client: Client,
    provider: ScriptedProvider,
    given: dict[str, Any],
    understood: dict[str, Any] | None,
) -> None:
    response = await client.post(
        CREATE, json={"input": {"prompt": "Hi", **given}}, headers={"Prefer": "wait"}
    )

    assert response.status_code == 201, response.text
    wanted = given if understood is None else understood
    assert provider.requests[0].parameters == Parameters(**wanted)


async def test_messages_are_a_prompt_with_what_was_said_before(
    client: Client, provider: ScriptedProvider
) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": [{"type": "text", "text": "And?"}]},
    ]

    response = await client.post(
        CREATE, json={"input": {"messages": messages}}, headers={"Prefer": "wait"}
    )

    assert response.status_code == 201, response.text
    assert response.json()["input"] == {
        "prompt": "And?",
        "system_prompt": "Be brief.",
    }
    assert [(each.role, each.content) for each in provider.requests[0].messages] == [
        ("system", "Be brief."),
        ("user", "Hello"),
        ("assistant", "Hi!"),
        ("user", "And?"),
    ]


@pytest.mark.parametrize("is_able", [True, False])
async def test_a_last_message_of_the_assistants_is_continued_by_models_that_can(
    client: Client, provider: ScriptedProvider, *, is_able: bool
) -> None:
    provider.able["parrot"] = Capabilities(prefill=is_able)
    begun = [
        {"role": "user", "content": "Greet."},
        {"role": "assistant", "content": "Well: "},
    ]

    response = await client.post(
        CREATE, json={"input": {"messages": begun}}, headers={"Prefer": "wait"}
    )

    if is_able:
        assert provider.requests[0].messages[-1].role == "assistant"
        assert "".join(response.json()["output"]) == "Hello, world"
    else:
        assert (response.status_code, provider.requests) == (422, [])
        assert "not known to continue it" in response.json()["detail"]


SAY: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "input.prompt"),
        ({"prompt": "Hi", "messages": SAY}, "input.messages"),
        ({"messages": SAY, "system_prompt": "Be long."}, "input.system_prompt"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"prompt": ""}, "input.prompt"),
        ({"prompt": 1}, "input.prompt"),
        ({"prompt": "a\0b"}, "input.prompt"),
        ({"prompt": "Hi", "image": "https://example.com/a.png"}, "input.image"),
        ({"prompt": "Hi", "messages": []}, "input.messages"),
        ({"prompt": "Hi", "max_tokens": 0}, "input.max_tokens"),
        ({"prompt": "Hi", "max_tokens": 1, "max_length": 2}, "input"),
        ({"prompt": "Hi", "instructions": "a", "system_prompt": "b"}, "input"),
        ({"prompt": "Hi", "json_schema": "{}"}, "input.json_schema"),
        ({"prompt": "Hi", "temperature": 9}, "input.temperature"),
        ({"prompt": "Hi", "top_k": -2}, "input.top_k"),
        ({"prompt": "Hi", "stop_sequences": ["a"]}, "input.stop_sequences"),
        ({"prompt": "Hi", "stop": "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"}, "input.stop"),
        ({"prompt": "Hi", "prompt_template": "{prompt}"}, "input.prompt_template"),
        ({"prompt": "Hi", "repetition_penalty": 1.2}, "input.repetition_penalty"),
        ({"prompt": "Hi", "length_penalty": 0.5}, "input.length_penalty"),
        ({"prompt": "Hi", "debug": True}, "input.debug"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    client: Client, given: dict[str, Any], field: str
) -> None:
    response = await client.post(CREATE, json={"input": given})

    body = response.json()
    [wrong] = body["invalid_fields"]
    assert response.status_code == body["status"] == 422
    assert body["title"] == "Input validation failed"
    assert wrong["field"] == field
    assert body["detail"] == f"- {field}: {wrong['description']}\n"
    assert await client.history() == []


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"webhook": "https://example.com/hook"}, "webhook"),
        ({"webhook_completed": "https://example.com/hook"}, "webhook_completed"),
        ({"webhook_events_filter": ["finished"]}, "webhook_events_filter.0"),
        ({"webhook_events_filter": ["output"]}, "webhook_events_filter"),
        ({"version": "a/b"}, "version"),
        ({"input": None}, "input"),
    ],
)
async def test_what_is_beside_the_input_is_refused_by_name(
    client: Client, more: dict[str, Any], field: str
) -> None:
    response = await client.post(CREATE, json={"input": {"prompt": "Hi"}} | more)

    assert response.status_code == 422
    assert [each["field"] for each in response.json()["invalid_fields"]] == [field]
    assert await client.history() == []


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, "required"),
        ({"prompt": "Hi", "x": 1}, "additional_property_not_allowed"),
        ({"prompt": "Hi", "top_k": -2}, "invalid"),
    ],
)
async def test_what_is_wrong_has_replicates_name(
    client: Client, given: dict[str, Any], kind: str
) -> None:
    response = await client.post(CREATE, json={"input": given})

    assert response.json()["invalid_fields"][0]["type"] == kind


async def test_a_null_webhook_is_none(client: Client) -> None:
    body = {"input": {"prompt": "Hi"}, "webhook": None, "stream": True}

    response = await client.post(CREATE, json=body)

    assert response.status_code == 201


async def test_what_the_provider_cannot_honour_is_named_as_it_was_sent(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(unsupported=frozenset({"stop"}))
    async with connect(settings, provider) as client:
        response = await client.post(
            CREATE, json={"input": {"prompt": "Hi", "stop_sequences": "a"}}
        )

    body = response.json()
    assert response.status_code == 422
    assert [each["field"] for each in body["invalid_fields"]] == [
        "input.stop_sequences"
    ]
    assert "cannot honour" in body["detail"]


TEXTS = [
    "",
    " ",
    "one two  three\n\nfour ",
    "https://example.com/data:image",
    "data: x, https: y",
    "a" * 50 + ":::" + "b" * 20,
    "\r\n\u2028tail\x85",
    "日本語の文章は空白なしで続くので、長さで区切る。",
    "🦙" * 40,
]


@pytest.mark.parametrize("text", TEXTS)
def test_items_of_an_output_never_change_as_the_text_grows(text: str) -> None:
    whole = pieces(text, is_whole=True)

    assert "".join(whole) == text
    for length in range(len(text)):
        so_far = pieces(text[:length], is_whole=False)
        assert so_far == whole[: len(so_far)]


@pytest.mark.parametrize("text", TEXTS)
def test_no_item_looks_like_a_file(text: str) -> None:
    """Replicate's clients make a file of every item that begins like an address."""
    for item in pieces(text, is_whole=True):
        assert not item.startswith(("https:", "data:"))
