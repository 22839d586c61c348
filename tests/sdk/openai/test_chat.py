"""OpenAI's own Python client: chat completions, models, errors, and going away."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.emulator.driver import MAVERICK, NO_CERTIFICATES
from tests.sdk.clients import history
from tests.sdk.site import ALICE, BOB, Site
from tests.waiting import LONG_ENOUGH

MODEL = f"replicate:{MAVERICK}"
HI: list[Any] = [{"role": "user", "content": "one two three"}]


@pytest.fixture
def client(openai_client: OpenAI) -> OpenAI:
    return openai_client


@pytest.fixture
def async_client(async_openai_client: AsyncOpenAI) -> AsyncOpenAI:
    return async_openai_client


def run_of(site: Site, prompt: str, *statuses: str) -> dict[str, Any]:
    """Wait until alice's newest run has this prompt and one of these statuses."""
    deadline = time.monotonic() + LONG_ENOUGH
    while (run := history(site)[0])["prompt"] != prompt or (
        run["status"] not in statuses
    ):
        assert time.monotonic() < deadline, run
        time.sleep(0.02)
    return run


def say(prompt: str) -> list[Any]:
    return [{"role": "user", "content": prompt}]


def created(site: Site) -> int:
    """Return how many times the model was asked."""
    predictions: list[Any] = site.replicate.known()["predictions"]
    return len(predictions)


def test_a_chat_completion_is_answered_and_in_the_history(
    site: Site, client: OpenAI
) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=HI)

    [choice] = completion.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == "one two three"
    assert choice.finish_reason == "stop"
    assert completion.model == MODEL
    assert abs(completion.created - time.time()) < 3600
    assert completion.usage is not None
    assert completion.usage.total_tokens == (
        completion.usage.prompt_tokens + completion.usage.completion_tokens
    )
    [kept] = history(site)
    assert kept["prompt"] == kept["response"] == "one two three"
    assert completion.id == kept["id"].replace("run_", "chatcmpl-")


def test_a_stream_says_the_answer_word_by_word(client: OpenAI) -> None:
    stream = client.chat.completions.create(model=MODEL, messages=HI, stream=True)

    chunks = list(stream)

    assert chunks[0].choices[0].delta.role == "assistant"
    said = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(said) == "one two three"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_its_usage_when_that_is_wanted(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=HI,
        stream=True,
        stream_options={"include_usage": True},
    )

    *_, last = stream

    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 3


def test_the_stream_helper_gathers_the_completion(client: OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=HI) as stream:
        kinds = [event.type for event in stream]
        completion = stream.get_final_completion()

    assert "content.delta" in kinds
    assert "content.done" in kinds
    assert completion.choices[0].message.content == "one two three"


def test_a_raw_response_has_its_headers(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HI)

    assert raw.status_code == 200
    assert raw.headers["x-request-id"] == raw.request_id
    assert raw.parse().choices[0].message.content == "one two three"


def test_a_streaming_response_can_be_read_as_lines(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=HI, stream=True
    ) as response:
        lines = [line for line in response.iter_lines() if line and line[0] != ":"]

    assert all(line.startswith("data: {") for line in lines[:-1])
    assert lines[-1] == "data: [DONE]"


def test_a_conversation_goes_on_with_the_answers_the_client_got(
    site: Site, client: OpenAI
) -> None:
    first = client.chat.completions.create(model=MODEL, messages=HI)

    client.chat.completions.create(
        model=MODEL,
        messages=[
            *HI,
            first.choices[0].message.model_dump(),  # type: ignore[list-item] # as many do
            {"role": "user", "content": "four"},
        ],
    )

    sent = site.replicate.known()["predictions"][-1]["input"]["prompt"]
    assert sent.index("one two three") < sent.rindex("one two three")
    assert sent.rindex("one two three") < sent.index("four")
    assert history(site)[0]["prompt"] == "four"


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_systems_message_is_the_system_prompt(
    site: Site, client: OpenAI, role: Any
) -> None:
    client.chat.completions.create(
        model=MODEL, messages=[{"role": role, "content": "Be brief."}, *HI]
    )

    assert history(site)[0]["system_prompt"] == "Be brief."


def test_parts_of_text_are_read(site: Site, client: OpenAI) -> None:
    client.chat.completions.create(
        model=MODEL,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "one"},
                    {"type": "text", "text": "two"},
                ],
            }
        ],
    )

    assert history(site)[0]["prompt"] == "one\ntwo"


def test_parameters_reach_the_model(site: Site, client: OpenAI) -> None:
    client.chat.completions.create(
        model=MODEL,
        messages=HI,
        max_completion_tokens=50,
        temperature=0.5,
        top_p=0.8,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        stop=["END"],
        metadata={"project": "x"},
        user="u-1",
        store=True,
        extra_body={"top_k": 3},
    )

    sent = site.replicate.known()["predictions"][-1]["input"]
    assert sent["max_tokens"] == 50
    assert (sent["temperature"], sent["top_p"], sent["top_k"]) == (0.5, 0.8, 3)
    assert (sent["presence_penalty"], sent["frequency_penalty"]) == (0.1, 0.2)
    assert sent["stop_sequences"] == "END"
    assert history(site)[0]["metadata"] == {"project": "x"}


def test_an_answer_that_is_cut_short_says_so(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=2)

    assert completion.choices[0].finish_reason == "length"
    assert completion.choices[0].message.content == "one two"


class Person(BaseModel):
    name: str


def test_a_form_that_the_model_cannot_keep_is_refused_by_name(
    site: Site, client: OpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.parse(
            model="replicate:llamakeep/parrot", messages=HI, response_format=Person
        )

    assert refused.value.param == "response_format"
    assert refused.value.code == "unsupported_parameter"
    assert created(site) == 0


def test_tools_that_are_no_functions_are_refused_by_name(
    site: Site, client: OpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=MODEL,
            messages=HI,
            tools=[{"type": "custom", "custom": {"name": "f"}}],
        )

    assert (refused.value.param, refused.value.type) == (
        "tools[0].type",
        "invalid_request_error",
    )
    assert created(site) == 0


def test_a_completion_can_be_retrieved_and_deleted(client: OpenAI) -> None:
    made = client.chat.completions.create(
        model=MODEL, messages=HI, metadata={"project": "x"}
    )

    found = client.chat.completions.retrieve(made.id)
    gone = client.chat.completions.delete(made.id)

    assert found.choices == made.choices
    assert gone.deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(made.id)


def test_models_are_listed_page_by_page_and_retrieved(client: OpenAI) -> None:
    listed = list(client.models.list())

    assert listed[0].id == MODEL
    assert client.models.retrieve(MODEL) == listed[0]
    assert client.models.retrieve(MAVERICK).id == MODEL
    assert all(model.object == "model" for model in listed)


def test_a_wrong_api_key_is_an_authentication_error(client: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="sk-wrong").models.list()

    assert refused.value.code == "invalid_api_key"
    assert refused.value.request_id is not None


def test_somebody_elses_completion_is_not_found(client: OpenAI) -> None:
    alices = client.chat.completions.create(model=MODEL, messages=HI)

    with pytest.raises(openai.NotFoundError):
        client.with_options(api_key=BOB).chat.completions.retrieve(alices.id)


def test_a_model_that_nobody_serves_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="gpt-5", messages=HI)

    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_a_request_that_makes_no_sense_is_a_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=HI, temperature=9)

    assert refused.value.param == "temperature"


def test_a_key_that_was_used_for_another_request_is_unprocessable(
    client: OpenAI,
) -> None:
    key = {"Idempotency-Key": f"other-{time.monotonic_ns()}"}
    client.chat.completions.create(model=MODEL, messages=HI, extra_headers=key)

    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(
            model=MODEL, messages=HI, seed=1, extra_headers=key
        )


def test_a_provider_that_fails_is_paid_once_although_the_client_retries(
    site: Site, client: OpenAI
) -> None:
    site.replicate.rule(end="failed", error="It broke.")

    with pytest.raises(openai.InternalServerError) as failed:
        client.with_options(max_retries=2).chat.completions.create(
            model=MODEL, messages=HI
        )

    kept = history(site)[0]
    assert kept["status"] == "failed"
    assert kept["id"] in failed.value.message
    assert created(site) == 1


def test_a_stream_that_breaks_off_is_an_api_error_and_its_text_is_kept(
    site: Site, client: OpenAI
) -> None:
    site.replicate.rule(end="failed", after=2)
    stream = client.chat.completions.create(model=MODEL, messages=HI, stream=True)
    said: list[str] = []

    with pytest.raises(openai.APIError, match="/history/run_"):
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)

    assert "".join(said).split() == ["one", "two"]
    assert history(site)[0]["response"] == "".join(said)


def test_a_provider_that_wants_us_to_wait_is_asked_again_by_the_client(
    site: Site, client: OpenAI
) -> None:
    site.replicate.rule(status=429)

    completion = client.with_options(max_retries=2).chat.completions.create(
        model=MODEL, messages=HI
    )

    assert completion.choices[0].message.content == "one two three"
    assert created(site) == 1


def test_a_run_that_somebody_cancels_is_a_conflict(site: Site, client: OpenAI) -> None:
    site.replicate.rule(end="never", after=1)

    def cancel() -> None:
        run_id = run_of(site, "cancel me", "starting", "processing")["id"]
        with httpx2.Client(verify=NO_CERTIFICATES, timeout=LONG_ENOUGH) as http:
            http.post(
                f"{site.origin}/history/{run_id}/cancel",
                headers={"Authorization": f"Bearer {ALICE}"},
            )

    with ThreadPoolExecutor() as other:
        canceled = other.submit(cancel)
        with pytest.raises(openai.ConflictError):
            client.with_options(max_retries=2).chat.completions.create(
                model=MODEL, messages=say("cancel me")
            )
        canceled.result()

    assert created(site) == 1


def test_a_client_that_gives_up_cancels_the_run(site: Site, client: OpenAI) -> None:
    site.replicate.rule(end="never", after=1)

    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(
            model=MODEL, messages=say("give me up")
        )

    assert run_of(site, "give me up", "canceled")


def test_a_stream_that_is_closed_early_cancels_the_run_upstream(
    site: Site, client: OpenAI
) -> None:
    site.replicate.rule(end="never", after=2)
    stream = client.chat.completions.create(
        model=MODEL, messages=say("close one two"), stream=True
    )
    said = ""
    for chunk in stream:
        said += chunk.choices[0].delta.content or ""
        if "one" in said:
            break

    stream.close()

    assert run_of(site, "close one two", "canceled")["response"] == said
    deadline = time.monotonic() + LONG_ENOUGH
    while site.replicate.known()["predictions"][-1]["status"] != "canceled":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_lost_connection_is_made_good_by_a_retry_with_the_same_key(
    site: Site, client: OpenAI
) -> None:
    site.replicate.rule(deltas=["one ", "two ", "three"], gap=0.3)

    def restart() -> None:
        run_of(site, "lose me", "starting", "processing")
        site.restart()

    with ThreadPoolExecutor() as other:
        restarted = other.submit(restart)
        completion = client.with_options(max_retries=2).chat.completions.create(
            model=MODEL,
            messages=say("lose me"),
            extra_headers={"Idempotency-Key": f"lost-{time.monotonic_ns()}"},
        )
        restarted.result()

    assert completion.choices[0].message.content == "one two three"
    assert created(site) == 1
    assert [run["prompt"] for run in history(site, 2)].count("lose me") == 1


def test_the_older_completions_are_answered(site: Site, client: OpenAI) -> None:
    completion = client.completions.create(model=MODEL, prompt="one two three")

    assert completion.object == "text_completion"
    assert completion.choices[0].text == "one two three"
    assert completion.choices[0].finish_reason == "stop"
    assert history(site)[0]["prompt"] == "one two three"


def test_the_older_completions_are_streamed(client: OpenAI) -> None:
    stream = client.completions.create(
        model=MODEL, prompt=["one two three"], stream=True
    )

    pieces = [piece.choices[0] for piece in stream]

    assert "".join(piece.text for piece in pieces) == "one two three"
    assert pieces[-1].finish_reason == "stop"


async def test_many_clients_are_answered_at_once(async_client: AsyncOpenAI) -> None:
    completions = await asyncio.gather(
        *(
            async_client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": f"number {n}"}]
            )
            for n in range(12)
        )
    )

    said = [completion.choices[0].message.content for completion in completions]
    assert said == [f"number {n}" for n in range(12)]


async def test_an_async_stream_says_the_answer(async_client: AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(
        model=MODEL, messages=HI, stream=True
    )

    said = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(said) == "one two three"


async def test_an_async_task_that_is_canceled_cancels_the_run(
    site: Site, async_client: AsyncOpenAI
) -> None:
    await asyncio.to_thread(site.replicate.rule, end="never", after=1)
    asking = asyncio.create_task(
        async_client.chat.completions.create(model=MODEL, messages=say("stop me"))
    )
    await asyncio.to_thread(run_of, site, "stop me", "starting", "processing")

    asking.cancel()

    assert await asyncio.to_thread(run_of, site, "stop me", "canceled")


async def test_models_are_listed_to_async_clients(async_client: AsyncOpenAI) -> None:
    listed = [model.id async for model in async_client.models.list()]

    assert listed[0] == MODEL
