"""OpenAI's own Python client: following responses, coming back, and going away."""

import asyncio

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import ResponseStreamEvent

from tests.sdk.responding import MODEL, OPEN, asked, number_of, over, run_of, text_of
from tests.sdk.site import Site

WORDS = [f"w\u00f6rd{number} \U0001f999 " for number in range(40)]
LONG = "".join(WORDS)


def test_a_stream_says_the_answer_word_by_word(openai_client: OpenAI) -> None:
    events = list(openai_client.responses.create(input="one two three", stream=True))

    kinds = [event.type for event in events]
    numbers = [number_of(event) for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert text_of(events) == "one two three"
    assert numbers == sorted(set(numbers))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "one two three"


def test_the_stream_helper_puts_a_response_together(openai_client: OpenAI) -> None:
    with openai_client.responses.stream(input="one two three", model=MODEL) as stream:
        snapshots = [
            event.snapshot
            for event in stream
            if event.type == "response.output_text.delta"
        ]
        response = stream.get_final_response()

    assert snapshots[-1] == response.output_text == "one two three"
    assert openai_client.responses.retrieve(response.id).output_text == "one two three"


def test_a_response_in_the_background_can_be_polled(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(deltas=WORDS[:4], gap=0.05)

    begun = openai_client.responses.create(input="slowly", background=True)
    response = over(openai_client, begun)

    assert begun.status in OPEN
    assert begun.background is True
    assert response.status == "completed"
    assert response.output_text == "".join(WORDS[:4])


def test_a_stream_goes_on_where_it_was_when_its_server_was_killed(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(deltas=WORDS, gap=0.02)
    stream = openai_client.responses.create(
        input="slowly", background=True, stream=True
    )
    received: list[ResponseStreamEvent] = []
    for event in stream:
        received.append(event)
        if len(text_of(received)) > len(LONG) / 4:
            break
    stream.close()
    assert received[0].type == "response.created"
    response_id = received[0].response.id

    site.restart()
    rest = list(
        openai_client.responses.retrieve(
            response_id, stream=True, starting_after=number_of(received[-1])
        )
    )

    assert rest[-1].type == "response.completed"
    assert text_of(received) + text_of(rest) == LONG
    assert rest[-1].response.output_text == LONG
    assert number_of(rest[0]) > number_of(received[-1])
    assert openai_client.responses.retrieve(response_id).output_text == LONG
    # All of them, and some inside of what was one delta then.
    for offset in (0, 1, 5, 8, 100, len(LONG) - 1, len(LONG)):
        again = openai_client.responses.retrieve(
            response_id, stream=True, starting_after=3 + offset
        )
        assert LONG[:offset] + text_of(list(again)) == LONG


def test_a_stream_that_broke_with_its_server_can_be_read_while_it_goes_on(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(deltas=WORDS, gap=0.04)
    begun = openai_client.responses.create(input="slowly", background=True)
    stream = openai_client.responses.retrieve(begun.id, stream=True)
    received: list[ResponseStreamEvent] = []

    with pytest.raises(openai.APIConnectionError):  # noqa: PT012 - it breaks while it is read
        for event in stream:
            received.append(event)
            if len(text_of(received)) > len(LONG) / 4:
                site.restart()
    rest = list(
        openai_client.responses.retrieve(
            begun.id, stream=True, starting_after=number_of(received[-1])
        )
    )

    assert text_of(received) + text_of(rest) == LONG


def test_the_stream_helper_can_come_back(openai_client: OpenAI) -> None:
    response = openai_client.responses.create(input="one two three")

    with openai_client.responses.stream(
        response_id=response.id, starting_after=6
    ) as stream:
        events = list(stream)

    assert all(event.sequence_number > 6 for event in events)
    assert stream.get_final_response().output_text == "one two three"


def test_a_response_can_be_canceled_and_keeps_its_text(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(deltas=["Once ", "upon "], end="never")
    stream = openai_client.responses.create(
        input="a tale", background=True, stream=True
    )
    received: list[ResponseStreamEvent] = []
    for event in stream:
        received.append(event)
        if text_of(received) == "Once upon ":
            break
    stream.close()
    assert received[0].type == "response.created"

    canceled = openai_client.responses.cancel(received[0].response.id)

    assert (canceled.status, canceled.output_text) == ("cancelled", "Once upon ")
    assert openai_client.responses.cancel(canceled.id) == canceled
    assert run_of(site, canceled)["status"] == "canceled"


def test_an_answer_that_fails_in_the_background_is_a_failed_response(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(deltas=["one ", "two ", "three"], end="failed", after=2)

    response = over(
        openai_client, openai_client.responses.create(input="count", background=True)
    )

    assert response.status == "failed"
    assert response.error is not None
    assert response.error.code == "server_error"
    assert response.output_text == "one two "


def test_an_answer_that_fails_in_a_stream_ends_it_with_what_is_there(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(deltas=["one ", "two ", "three"], end="failed", after=2)

    events = list(openai_client.responses.create(input="count", stream=True))

    assert events[-1].type == "response.failed"
    assert events[-1].response.output_text == text_of(events) == "one two "
    assert events[-1].response.error is not None


def test_who_closes_a_stream_cancels_it_and_the_text_is_kept(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(deltas=["one ", "two "], end="never")
    received: list[ResponseStreamEvent] = []

    with openai_client.responses.create(input="count", stream=True) as stream:
        for event in stream:
            received.append(event)
            if text_of(received) == "one two ":
                break

    assert received[0].type == "response.created"
    response = over(openai_client, received[0].response)
    assert (response.status, response.output_text) == ("cancelled", "one two ")


def test_who_cannot_wait_cancels_and_the_text_is_kept(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(deltas=["one ", "two "], end="never")

    with pytest.raises(openai.APITimeoutError):
        openai_client.with_options(timeout=0.5).responses.create(input="in a hurry")

    response_id = asked(site, "in a hurry")
    response = over(openai_client, openai_client.responses.retrieve(response_id))
    assert response.status == "cancelled"


async def test_the_async_openai_client_comes_back_cancels_and_deletes(
    site: Site, async_openai_client: AsyncOpenAI
) -> None:
    await asyncio.to_thread(site.replicate.rule, deltas=["one ", "two "], end="never")
    responses = async_openai_client.responses
    begun = await responses.create(input="count", background=True)
    received: list[ResponseStreamEvent] = []
    async with await responses.retrieve(
        begun.id, stream=True, starting_after=1
    ) as stream:
        async for event in stream:
            received.append(event)
            if text_of(received) == "one two ":
                break

    canceled = await responses.cancel(begun.id)
    await responses.delete(begun.id)

    assert [number_of(event) for event in received[:2]] == [2, 3]
    assert canceled.status == "cancelled"
    with pytest.raises(openai.NotFoundError):
        await responses.retrieve(begun.id)
