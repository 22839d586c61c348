"""What Replicate's provider makes of answers, whichever way they come."""

import asyncio
from contextlib import aclosing
from decimal import Decimal

import pytest

from llamakeep.domain import Usage
from llamakeep.providers.base import ReattachableProvider
from llamakeep.providers.replicate import ReplicateProvider
from tests.providers.asking import Answer, ask
from tests.providers.replicating import MAVERICK, Control, asking, provider_at
from tests.providers.stub_server import END, head, piece, running_stub, whole
from tests.waiting import LONG_ENOUGH, until


async def test_replicate_can_be_reattached_to(
    replicate: ReplicateProvider,
) -> None:
    assert isinstance(replicate, ReattachableProvider)


@pytest.mark.parametrize("is_followed", [True, False])
async def test_an_answer_has_text_usage_model_and_handle(
    replicate: ReplicateProvider, control: Control, is_followed: bool
) -> None:
    answer = await ask(replicate, asking("one two three", is_followed=is_followed))

    assert answer.text == "one two three"
    assert answer.accepted is not None
    assert answer.accepted.handle == (await control.only())["id"]
    assert answer.finished is not None
    assert answer.finished.usage == Usage(3, 3)
    assert answer.finished.resolved_model == MAVERICK
    assert answer.finished.finish_reason == "stop"


@pytest.mark.parametrize(("is_followed", "most"), [(True, 3), (False, 2)])
async def test_a_prompt_takes_few_requests(
    replicate: ReplicateProvider, control: Control, is_followed: bool, most: int
) -> None:
    await ask(replicate, asking(is_followed=is_followed))
    before = sum((await control.requests()).values())
    await ask(replicate, asking(is_followed=is_followed))

    # The schema was asked for with the first prompt.
    assert sum((await control.requests()).values()) - before <= most


@pytest.mark.parametrize("said", [1, 2, 3])
async def test_words_come_as_they_are_said(
    replicate: ReplicateProvider, control: Control, said: int
) -> None:
    deltas = ["one ", "two ", "three ", "four"]
    await control.rule(deltas=deltas, after=said, end="never")
    text, expected = "", "".join(deltas[:said])

    async with (
        asyncio.timeout(LONG_ENOUGH),
        aclosing(replicate.answer(asking())) as events,
    ):
        async for event in events:
            text += event if isinstance(event, str) else ""
            if len(text) >= len(expected):
                break  # nothing more is ever said, and no end

    assert text == expected
    assert "get" not in await control.requests()


@pytest.mark.parametrize("seconds", [0.2, 1.2])
async def test_a_plain_answer_is_there_when_the_prediction_ends(
    replicate: ReplicateProvider, control: Control, seconds: float
) -> None:
    await control.rule(first_delay=seconds)
    await ask(replicate, asking(is_followed=False))

    requests = await control.requests()
    # The create waits for the end, and a GET tells what is left: nothing is polled.
    assert (requests["create"], requests["get"]) == (1, 1)
    assert "stream" not in requests


@pytest.mark.slow
async def test_a_plain_answer_that_takes_longer_than_the_wait_comes_by_its_stream(
    control: Control,
) -> None:
    provider = provider_at(control.origin, silence_timeout=2)  # so it waits for one
    await control.rule(first_delay=1.5)
    answer = await ask(provider, asking(is_followed=False))
    await provider.close()
    requests = await control.requests()

    assert answer.text == "one two three"
    # Nothing but the stream tells the end in time, nothing but a GET the usage.
    assert {name: requests.get(name) for name in ("create", "stream", "get")} == {
        "create": 1,
        "stream": 1,
        "get": 1,
    }
    assert answer.finished is not None
    assert answer.finished.usage.output_tokens == 3


@pytest.mark.parametrize(
    "deltas",
    [
        ["a\nb", "\n\n", "c\n"],
        ["line\u2028separator", "\u0085next\x0c", "\x0bend"],
        [" leading", "", "data: x", "  two"],
        ["\n"],
    ],
)
@pytest.mark.parametrize("crlf", [True, False])
async def test_no_character_is_lost_on_a_stream(
    replicate: ReplicateProvider, control: Control, deltas: list[str], crlf: bool
) -> None:
    await control.rule(deltas=deltas, gap=0.005)
    await control.rule(on="stream", crlf=crlf, logs=True)
    answer = await ask(replicate, asking())

    assert answer.text == "".join(deltas)


@pytest.mark.parametrize("is_followed", [True, False])
async def test_an_answer_may_be_empty(
    replicate: ReplicateProvider, control: Control, is_followed: bool
) -> None:
    await control.rule(deltas=[])
    answer = await ask(replicate, asking(is_followed=is_followed))

    assert answer.text == ""
    assert answer.finished is not None


async def test_a_carriage_return_does_not_end_a_stream_in_an_error(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(deltas=["a\r\nb", "\rc"], gap=0.005)

    assert (await ask(replicate, asking())).text == "a\nb\nc"


@pytest.mark.parametrize(
    "fault",
    [
        {"done": False},
        {"done": False, "after": 2},
        {"drop": True, "after": 2},
        {"drop": True, "after": 0},
        {"status": 404},
        {"status": 502, "html": True},
    ],
)
@pytest.mark.parametrize("times", [1, None])
async def test_a_stream_that_fails_costs_no_word(
    replicate: ReplicateProvider,
    control: Control,
    fault: dict[str, object],
    times: int | None,
) -> None:
    await control.rule(gap=0.02)
    await control.rule(on="stream", times=times, **fault)
    answer = await ask(replicate, asking("one two three four five six"))

    assert answer.text == "one two three four five six"
    assert (await control.requests())["create"] == 1


async def test_a_foreign_stream_without_encryption_is_left_alone(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(gap=0.02, origin="http://192.0.2.1")

    answer = await ask(replicate, asking("one two three four five six"))

    assert answer.text == "one two three four five six"
    assert "stream" not in await control.requests()


async def test_the_api_token_goes_to_the_configured_host_only(
    replicate: ReplicateProvider, control: Control
) -> None:
    said = b"event: output\nid: 1:0\ndata: one two\n\n"
    async with running_stub(head(), piece(said), END) as stub:
        await control.rule(origin=stub.base_url.removesuffix("/v1"), gap=0.02)
        answer = await ask(replicate, asking("one two three"))

    assert answer.text == "one two three"
    assert {each.path.split("/")[2] for each in stub.heard} == {"streams"}
    assert not any("authorization" in each.headers for each in stub.heard)


@pytest.mark.parametrize(
    ("output", "text"),
    [("one\0", "one\ufffd"), (["one", "", " two"], "one two"), (None, ""), ([], "")],
)
@pytest.mark.parametrize("is_followed", [True, False])
async def test_an_output_may_be_a_text_a_list_or_nothing(
    output: object, text: str, is_followed: bool
) -> None:
    body = {"id": "p1", "status": "succeeded", "output": output, "urls": {"get": 1}}
    async with running_stub(whole(200, body)) as stub:
        provider = provider_at(stub.base_url)
        answer = await ask(provider, asking(is_followed=is_followed))
        await provider.close()

    assert answer.text == text
    assert answer.finished is not None
    assert answer.finished.usage == Usage()


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_the_address_may_be_given_with_or_without_its_version(
    control: Control, suffix: str
) -> None:
    provider = provider_at(control.origin + suffix)
    answer = await ask(provider, asking())
    await provider.close()

    assert answer.text == "one two three"


async def test_the_limit_is_the_finish_reason_when_it_was_reached(
    replicate: ReplicateProvider,
) -> None:
    answer = await ask(replicate, asking("one two three", max_tokens=2))

    assert answer.text == "one two"
    assert answer.finished is not None
    assert answer.finished.finish_reason == "length"


async def test_an_answer_that_hit_the_limit_is_no_failure(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(end="failed", error="E1002 PromptTooLong: Prompt length (9)")

    answer = await ask(replicate, asking("one two three"))

    assert answer.text == "one two three"
    assert answer.finished is not None
    assert answer.finished.finish_reason == "length"


async def test_a_deadline_is_always_sent(
    replicate: ReplicateProvider, control: Control
) -> None:
    await ask(replicate, asking())

    assert (await control.only())["deadline"]


async def test_reading_the_usage_may_fail(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(on="get", status=503, times=3)

    answer = await ask(replicate, asking(is_followed=False))

    assert answer.text == "one two three"
    assert answer.finished is not None
    assert answer.finished.usage == Usage()


async def test_a_short_outage_is_waited_out(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(gap=0.02)
    await control.rule(on="stream", status=503, times=None)
    await control.rule(on="get", drop=True, times=2)

    answer = await ask(replicate, asking("one two three four"))

    assert answer.text == "one two three four"


@pytest.mark.slow
async def test_an_answer_that_is_left_is_canceled(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(gap=0.02, end="never")
    await control.rule(on="cancel", delay=3600)  # whose answer nothing waits for
    answer = Answer()
    task = asyncio.create_task(ask(replicate, asking("a b c d"), into=answer))
    await control.until("processing")
    task.cancel()
    await asyncio.wait([task], timeout=LONG_ENOUGH)

    async def is_asked_to() -> bool:
        return (await control.requests()).get("cancel") == 1

    assert task.cancelled()
    await until(is_asked_to)


async def test_an_answer_that_is_left_before_it_was_accepted_is_canceled(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(delay=0.2, end="never")
    task = asyncio.create_task(ask(replicate, asking()))
    await control.until("starting", "processing")
    task.cancel()
    await asyncio.wait([task])

    await control.until("canceled")


async def test_a_server_that_stops_lets_predictions_go_on(control: Control) -> None:
    provider = provider_at(control.origin)
    await control.rule(first_delay=0.2)
    task = asyncio.create_task(ask(provider, asking()))
    await control.until("processing")
    provider.detach()
    task.cancel()
    await asyncio.wait([task])
    await provider.close()

    await control.until("succeeded")


async def test_a_model_has_an_owner_or_is_a_version(
    replicate: ReplicateProvider,
) -> None:
    served = [MAVERICK, "a/b:" + "0" * 64, "f" * 64]
    refused = ["gpt-4", "a/b/c", "../b", "a/..", "a/b:latest", "a/b?c", "/", ""]

    assert [replicate.serves(model) for model in served + refused] == (
        [True] * len(served) + [False] * len(refused)
    )


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        (MAVERICK, Decimal("1.20")),
        ("meta/llama-4-scout-instruct:" + 64 * "0", Decimal("0.82")),
    ],
)
async def test_the_prices_of_official_llamas_are_known(
    replicate: ReplicateProvider, model: str, cost: Decimal
) -> None:
    price = replicate.price(model)

    assert price is not None
    assert price.of(1_000_000, 1_000_000) == cost
    assert replicate.price("somebody/else") is None
