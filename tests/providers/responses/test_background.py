"""A server that is asked in the background: one response, whatever happens to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from llamakeep.domain import (
    Item,
    Message,
    Parameters,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from llamakeep.domain.messages import Part, message_of
from llamakeep.errors import (
    AnswerExpired,
    LlamaKeepError,
    PromptRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderUnavailable,
)
from llamakeep.providers import backoff
from llamakeep.providers.base import (
    Accepted,
    CompletionRequest,
    Finished,
    is_reattachable,
)
from llamakeep.providers.responses.provider import BackgroundProvider
from llamakeep.providers.searchable import finds_again, is_searchable
from tests.providers.asking import Answer, ask, request
from tests.providers.stub_server import END, Then, event, head, running_stub, whole
from tests.responses_events import call, message, reasoning
from tests.responses_server import ResponsesServer, responses_server
from tests.waiting import until

HEADER = "Idempotency-Key"
SAID: dict[str, Any] = {"items": [message("Because it is.")]}


@asynccontextmanager
async def asking(
    *, header: str | None = None, patience: float = 5, **how: Any
) -> AsyncIterator[tuple[ResponsesServer, BackgroundProvider]]:
    """Yield a server that behaves so, and a provider that asks it."""
    async with responses_server(honours_keys=True, **how) as server:
        provider = BackgroundProvider(
            server.base_url,
            idempotency_header=header,
            models=("m",),
            silence_timeout=patience,
        )
        yield server, provider
        await provider.close()


async def resume(provider: BackgroundProvider, handle: str) -> Answer:
    """Fetch an answer again."""
    answer = Answer()
    async with aclosing(provider.resume(request("Why?"), handle)) as events:
        async for one in events:
            if isinstance(one, Accepted):
                answer.accepted = one
            elif isinstance(one, Finished):
                answer.finished = one
            else:
                answer.add(one)
    return answer


@pytest.fixture(autouse=True)
def poll_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(backoff, "LONGEST_PAUSE", 0.02)


async def test_a_prompt_is_asked_for_in_the_background_and_kept_there() -> None:
    async with asking(**SAID) as (server, provider):
        answer = await ask(provider, request("Why?", model="m"))

    [made] = server.made.values()
    assert answer.text == "Because it is."
    assert answer.accepted is not None
    assert answer.accepted.handle == made.id
    assert answer.accepted.resolved_model == "m-2026"
    assert answer.finished is not None
    assert answer.finished.finish_reason == "stop"
    usage = answer.finished.usage
    assert (usage.input_tokens, usage.output_tokens) == (7, 3)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (2, 1)
    flags = [made.body[name] for name in ("background", "stream", "store")]
    assert flags == [True] * 3
    assert made.body["metadata"] == {"llamakeep_run": "run_1"}
    assert (made.cancels, made.reads) == (0, 0)


EVERYTHING = [
    reasoning("Hm.", "Well.", is_summary=True, encrypted_content="gAAA"),
    message("It ", "is."),
    message("No.", kind="refusal"),
    call("look", '{"at": "it"}'),
    call("stop", "{}"),
]
ITEMS: Sequence[Item] = (
    Reasoning("Hm.\n\nWell."),
    Reasoning(sealed='{"encrypted_content":"gAAA","id":"item_0"}'),
    Text("It is."),
    Refusal("No."),
    ToolCall("call_look", "look", '{"at": "it"}'),
    ToolCall("call_stop", "stop", "{}"),
)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"cuts": [0, *range(1, 30)]},
        {"cuts": [9, 3], "streams_again": False},
        {"cuts": [9, 12, 15], "is_numbered": False},
        {"noise": [{"type": "response.moon.delta", "delta": "x"}, {}]},
    ],
)
async def test_all_that_is_said_is_kept_however_often_streams_break_off(
    how: dict[str, Any],
) -> None:
    how = {**how, "cuts": [each + 1 for each in how.get("cuts", ())]}
    async with asking(items=EVERYTHING, pace=0.001, **how) as (server, provider):
        answer = await ask(provider)
        again = await resume(provider, next(iter(server.made)))

    assert answer.items == again.items == [*ITEMS]
    assert answer.finished is not None
    assert answer.finished.finish_reason == "tool_calls"
    assert len(server.made) == 1


async def test_what_follows_the_last_event_is_all_that_is_asked_for() -> None:
    async with asking(cuts=[7], held_from=7, **SAID) as (server, provider):
        answer = await ask(provider)

    assert answer.text == "Because it is."
    paths = [one.path.partition("?")[2] for one in server.heard if "?" in one.path]
    assert paths == ["stream=true&starting_after=6"]


async def test_a_stream_that_begins_again_says_nothing_twice() -> None:
    how: dict[str, Any] = {"cuts": [7], "held_from": 7, "begins_again": True}
    async with asking(**how, **SAID) as (server, provider):
        answer = await ask(provider)

    assert answer.text == "Because it is."
    assert len(server.made) == 1


async def test_an_answer_is_fetched_again_from_its_beginning() -> None:
    async with asking(pace=0.003, **SAID) as (server, provider):
        async with aclosing(provider.answer(request())) as events:
            async for one in events:
                if isinstance(one, str):
                    break
            provider.detach()
        [handle] = server.made

        answer = await resume(provider, handle)

    assert answer.text == "Because it is."
    assert answer.accepted is not None
    assert answer.accepted.handle == handle
    assert len(server.creates) == 1
    assert server.made[handle].cancels == 0


async def test_a_response_that_waits_for_long_is_waited_for() -> None:
    async with asking(delay=0.4, patience=0.1, **SAID) as (server, provider):
        answer = await ask(provider)

    assert answer.text == "Because it is."
    assert len(server.creates) == 1


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
            },
            "length",
        ),
        (
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "content_filter"},
            },
            "content_filter",
        ),
        ({"status": "incomplete"}, "length"),
    ],
)
async def test_an_incomplete_response_says_why_it_ended(
    ending: dict[str, Any], reason: str
) -> None:
    async with asking(ending=ending, **SAID) as (server, provider):
        answer = await ask(provider)
        again = await resume(provider, next(iter(server.made)))

    assert answer.finished is not None
    assert answer.finished.finish_reason == reason
    assert again.finished == answer.finished


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "It broke."}, ProviderError),
        ({"code": "rate_limit_exceeded", "message": "Later."}, ProviderRateLimited),
        ({"code": "invalid_prompt", "message": "Bad."}, PromptRejected),
        (None, ProviderError),
    ],
)
async def test_a_failed_response_fails_with_its_reason_and_keeps_its_text(
    error: dict[str, str] | None, kind: type[LlamaKeepError]
) -> None:
    ending = {"status": "failed", "error": error}
    async with asking(ending=ending, **SAID) as (server, provider):
        answer = Answer()
        with pytest.raises(kind, match=error["message"] if error else "why"):
            await ask(provider, into=answer)
        [made] = server.made.values()

    assert answer.text == "Because it is."
    assert (len(server.creates), made.cancels) == (1, 0)


async def test_an_answer_that_is_closed_early_is_canceled() -> None:
    async with asking(pace=0.02, **SAID) as (server, provider):
        async with aclosing(provider.answer(request())) as events:
            async for one in events:
                if isinstance(one, str):
                    break
        await until(lambda: next(iter(server.made.values())).cancels == 1)

        with pytest.raises(ProviderError, match="was canceled"):
            await resume(provider, next(iter(server.made)))


@pytest.mark.parametrize(
    ("header", "is_stopping", "cancels"),
    [(None, False, 1), (HEADER, False, 1), (None, True, 1), (HEADER, True, 0)],
)
async def test_what_is_closed_before_its_id_is_known_is_canceled_or_found_by_its_key(
    header: str | None, is_stopping: bool, cancels: int
) -> None:
    how = {"pace": 0.02, "held_from": 0, "header": header, **SAID}
    async with asking(**how) as (server, provider):
        asked = asyncio.create_task(ask(provider))
        await until(lambda: bool(server.made))
        if is_stopping:
            provider.detach()
        asked.cancel()
        await asyncio.wait([asked])
        server.held_from = None
        await provider.close()

    [made] = server.made.values()
    assert made.cancels == cancels


async def test_a_response_that_is_not_known_yet_is_asked_for_again() -> None:
    async with asking(cuts=[5], unknown_for=3, pace=0.002, **SAID) as (_, provider):
        answer = await ask(provider)

    assert answer.text == "Because it is."


async def test_a_response_that_is_gone_is_expired() -> None:
    async with asking(patience=0.05) as (_, provider):
        with pytest.raises(AnswerExpired):
            await resume(provider, "resp_gone")


async def test_a_create_whose_answer_is_lost_is_not_sent_again() -> None:
    async with asking(loses=1) as (server, provider):
        with pytest.raises(ProviderUnavailable) as caught:
            await ask(provider)

    assert caught.value.answer_may_exist
    assert not caught.value.nothing_paid
    assert len(server.creates) == len(server.made) == 1


async def test_with_a_key_a_lost_create_finds_the_same_response_again() -> None:
    async with asking(loses=1, header=HEADER, **SAID) as (server, provider):
        answer = await ask(provider)

    assert answer.text == "Because it is."
    keys = {one.headers["idempotency-key"] for one in server.creates}
    assert (len(server.creates), len(server.made), len(keys)) == (2, 1, 1)


async def test_a_key_is_the_same_at_each_attempt_and_another_for_another_model() -> (
    None
):
    async with asking(header=HEADER, **SAID) as (server, provider):
        for attempt, model in ((1, "m"), (2, "m"), (2, "n")):
            again = replace(request(model=model), attempt=attempt)
            await ask(provider, again)

    assert [one.body["model"] for one in server.made.values()] == ["m", "n"]
    assert len(server.creates) == 3


@pytest.mark.parametrize("header", [None, HEADER])
@pytest.mark.parametrize(
    ("status", "is_free"), [(401, True), (404, True), (429, True), (400, False)]
)
async def test_a_refusal_says_whether_something_may_have_been_paid(
    header: str | None, status: int, is_free: bool
) -> None:
    refusals = [(status, {"error": {"message": "No."}})] * 9
    async with asking(refusals=refusals, header=header, patience=0.1) as (
        server,
        provider,
    ):
        with pytest.raises(LlamaKeepError) as caught:
            await ask(provider)
        # Of one that may have been begun before, it proves nothing.
        begun = replace(request(), may_be_begun=True)
        with pytest.raises(LlamaKeepError) as later:
            await ask(provider, begun)

    assert caught.value.nothing_paid is is_free
    assert not getattr(caught.value, "answer_may_exist", False)
    assert not later.value.nothing_paid
    assert not server.made


async def test_a_server_without_such_an_api_says_how_to_ask_it() -> None:
    refusals = [(404, {"error": {"message": "Not found."}})]
    async with asking(refusals=refusals) as (_, provider):
        with pytest.raises(ProviderError) as caught:
            await ask(provider)

    assert caught.value.detail.endswith("no Responses API, remove `background`.")


async def test_a_server_that_cannot_be_reached_was_not_paid() -> None:
    async with responses_server() as server:
        url = server.base_url
    provider = BackgroundProvider(url, idempotency_header=HEADER, silence_timeout=0.1)
    with pytest.raises(ProviderUnavailable) as caught:
        await ask(provider)
    with pytest.raises(ProviderUnavailable) as later:
        await ask(provider, replace(request(), may_be_begun=True))
    await provider.close()

    assert (caught.value.nothing_paid, caught.value.answer_may_exist) == (True, False)
    assert (later.value.nothing_paid, later.value.answer_may_exist) == (False, True)


async def test_nothing_is_sent_once_another_server_may_have_the_run() -> None:
    async with asking(header=HEADER) as (server, provider):
        with pytest.raises(ProviderError) as caught:
            await ask(provider, replace(request(), is_late=lambda: True))

    assert caught.value.answer_may_exist
    assert not caught.value.was_tried
    assert server.creates == []


def test_what_it_was_asked_for_is_found_by_keys_alone() -> None:
    plain = BackgroundProvider("http://127.0.0.1:1/v1")
    keyed = BackgroundProvider("http://127.0.0.1:1/v1", idempotency_header=HEADER)

    assert is_reattachable(plain)
    assert is_reattachable(keyed)
    assert not is_searchable(plain)
    assert finds_again(keyed)
    # What is known of one is not taken for another's, though both have one type.
    assert not finds_again(plain)


async def test_a_conversation_is_sent_as_items() -> None:
    sealed = '{"encrypted_content":"gAAA","id":"rs_1"}'
    calls = [ToolCall("c1", "look", "{}"), ToolCall("c2", "look", "{}")]
    said: list[Part] = [
        Reasoning("Hm."),
        Reasoning(sealed=sealed),
        Text("I look."),
        *calls,
    ]
    messages = [
        Message("system", "Be brief."),
        Message("user", "Look!"),
        message_of("assistant", said),
        message_of("tool", [ToolResult("c1", "A cat.")]),
        message_of("user", [Text("And?")]),
    ]
    schema = {"name": "cat", "schema": {"type": "object"}}
    tool = {"name": "look", "parameters": {"type": "object"}}
    parameters = Parameters(
        max_tokens=9,
        temperature=0.5,
        tools=[{"type": "function", "function": tool}],
        tool_choice={"type": "function", "function": {"name": "look"}},
        response_format={"type": "json_schema", "json_schema": schema},
        reasoning_effort="low",
        logprobs=True,
        top_logprobs=2,
    )
    asked = CompletionRequest(
        run_id="run_1",
        attempt=1,
        model="m",
        messages=messages,
        parameters=parameters,
    )
    async with asking(**SAID) as (server, provider):
        await ask(provider, asked)

    [made] = server.made.values()
    body = made.body
    assert body["instructions"] == "Be brief."
    assert body["input"] == [
        {"type": "message", "role": "user", "content": "Look!"},
        {
            "type": "reasoning",
            "summary": [],
            "encrypted_content": "gAAA",
            "id": "rs_1",
        },
        {"type": "message", "role": "assistant", "content": "I look."},
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "look",
            "arguments": "{}",
        },
        {"type": "function_call_output", "call_id": "c1", "output": "A cat."},
        {"type": "message", "role": "user", "content": "And?"},
    ]
    assert body["tools"] == [{"type": "function", **tool}]
    assert body["tool_choice"] == {"type": "function", "name": "look"}
    assert body["text"] == {"format": {"type": "json_schema", **schema}}
    assert body["reasoning"] == {"effort": "low"}
    assert body["max_output_tokens"] == 9
    assert body["include"] == ["message.output_text.logprobs"]


COPY = {
    "id": "resp_1",
    "status": "completed",
    "model": "m",
    "output": [message("Whole.")],
}


async def test_a_server_that_streams_nothing_is_asked_for_copies() -> None:
    queued = {"id": "resp_1", "status": "queued", "output": []}
    async with running_stub(whole(200, COPY)) as stub:
        stub.script_of_path["/v1/responses"] = [whole(200, queued)]
        provider = BackgroundProvider(stub.base_url)
        answer = await ask(provider)
        await provider.close()

    assert answer.text == "Whole."


async def test_an_end_that_is_too_long_for_an_event_is_read_from_a_copy() -> None:
    text = "x" * 2_000_000
    async with asking(items=[message(text)]) as (server, provider):
        # What is said in between has one event.
        server.cuts = [5]
        answer = await ask(provider)

    assert answer.text == text


@pytest.mark.parametrize(
    "script",
    [
        [whole(200, {"error": {"message": "Odd."}})],
        [head(), event({"type": "error", "message": "Odd."}), END],
        [head(), END],
        [head(), event({"type": "response.created", "response": {"id": 3}}), END],
        [head(), b"garbage", Then.CLOSE],
        [whole(200, b"<html>")],
    ],
)
async def test_an_answer_without_an_id_may_exist(script: Sequence[Any]) -> None:
    async with running_stub(*script) as stub:
        provider = BackgroundProvider(stub.base_url)
        with pytest.raises(ProviderError) as caught:
            await ask(provider)
        await provider.close()

    assert caught.value.answer_may_exist
    assert not caught.value.nothing_paid
    assert len(stub.heard) == 1


async def test_a_copy_that_contradicts_the_stream_is_no_answer() -> None:
    said = {"type": "response.output_text.delta", "delta": "Half"}
    begun = {"type": "response.created", "response": COPY | {"status": "in_progress"}}
    async with running_stub(whole(200, COPY)) as stub:
        stub.script_of_path["/v1/responses"] = [head(), event(begun), event(said), END]
        provider, answer = BackgroundProvider(stub.base_url), Answer()
        with pytest.raises(ProviderError, match="something else") as caught:
            await ask(provider, into=answer)
        await provider.close()

    assert answer.text == "Half"
    assert caught.value.answer_may_exist
