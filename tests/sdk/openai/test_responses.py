"""OpenAI's own Python client: responses, what they go on behind, and errors."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from llamakeep.settings import Settings
from tests.api.serving import connect
from tests.fakes import ScriptedProvider
from tests.sdk.responding import MODEL, OPEN, own_api, run_of
from tests.sdk.site import ALICE, BOB, Site


@pytest.fixture
def bob(openai_client: OpenAI) -> OpenAI:
    return openai_client.with_options(api_key=BOB)


def test_a_response_is_answered_and_in_the_history(
    site: Site, openai_client: OpenAI
) -> None:
    response = openai_client.responses.create(
        model=MODEL, input="one two three", metadata={"project": "x"}
    )

    assert response.output_text == "one two three"
    assert (response.object, response.status) == ("response", "completed")
    assert (response.model, response.metadata) == (MODEL, {"project": "x"})
    assert response.usage is not None
    assert response.usage.total_tokens == (
        response.usage.input_tokens + response.usage.output_tokens
    )
    run = run_of(site, response)
    assert run["prompt"] == run["response"] == "one two three"
    assert run["metadata"] == {"project": "x"}


def test_a_deleted_response_is_gone(site: Site, openai_client: OpenAI) -> None:
    response = openai_client.responses.create(input="one two three")

    openai_client.responses.delete(response.id)

    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(response.id)
    runs = own_api(site, "GET", "/history/")["history"]
    assert response.id.replace("resp_", "run_") not in [run["id"] for run in runs]


def test_input_items_can_be_paged_through(openai_client: OpenAI) -> None:
    first = openai_client.responses.create(input="first")
    second = openai_client.responses.create(
        input="second", previous_response_id=first.id
    )
    third = openai_client.responses.create(
        input="third", previous_response_id=second.id
    )

    page = openai_client.responses.input_items.list(third.id, limit=2, order="asc")
    items = list(page)

    assert len(page.data) == 2
    assert [getattr(item, "role", None) for item in items] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert items[1] == first.output[0]
    assert len({item.id for item in items}) == 5
    newest = openai_client.responses.input_items.list(third.id, limit=1).data[0]
    assert newest == items[-1]


def test_a_chain_of_three_can_branch(openai_client: OpenAI) -> None:
    create = openai_client.responses.create

    first = create(input="first")
    second = create(input="second", previous_response_id=first.id)
    third = create(input="third", previous_response_id=second.id)
    branch = create(input="branch", previous_response_id=first.id)

    # The model repeats all that it reads.
    read = third.output_text, branch.output_text
    assert ["first" in text for text in read] == [True, True]
    assert ["second" in text for text in read] == [True, False]
    assert "third" not in branch.output_text
    assert third.previous_response_id == second.id
    assert branch.previous_response_id == first.id
    assert third.conversation == branch.conversation == first.conversation


def test_instructions_are_not_inherited(site: Site, openai_client: OpenAI) -> None:
    create = openai_client.responses.create

    first = create(input="first", instructions="Speak like a pirate.")
    second = create(input="second", previous_response_id=first.id)
    third = create(
        input="third", previous_response_id=second.id, instructions="Speak like a king."
    )

    assert first.instructions == "Speak like a pirate."
    assert second.instructions is None
    assert third.instructions == "Speak like a king."
    assert "pirate" not in second.output_text + third.output_text
    assert "king" in third.output_text
    assert run_of(site, second)["system_prompt"] is None


def test_a_conversation_goes_on(openai_client: OpenAI) -> None:
    first = openai_client.responses.create(input="first")
    assert first.conversation is not None

    second = openai_client.responses.create(
        input="second", conversation={"id": first.conversation.id}
    )

    assert second.conversation == first.conversation
    assert "first" in second.output_text


def test_an_answer_can_be_sent_back_as_it_came(openai_client: OpenAI) -> None:
    first = openai_client.responses.create(input="first")

    items: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "first"},
        *first.output,
        {"role": "user", "content": [{"type": "input_text", "text": "second"}]},
    ]
    second = openai_client.responses.create(input=items)

    assert second.status == "completed"
    read = [
        getattr(item, "role", None)
        for item in openai_client.responses.input_items.list(second.id, order="asc")
    ]
    assert read == ["system", "user", "assistant", "user"]


def test_a_conversation_can_be_compacted_and_continued(openai_client: OpenAI) -> None:
    create = openai_client.responses.create
    first = create(input="first")
    second = create(input="second", previous_response_id=first.id)

    compacted = openai_client.responses.compact(
        model=MODEL, previous_response_id=second.id
    )
    # The library knows no items of the user's among those of an answer.
    said: Any = [
        item.model_dump(exclude_unset=True, warnings=False) for item in compacted.output
    ]
    third = create(input=[*said, {"role": "user", "content": "third"}])

    assert compacted.object == "response.compaction"
    assert compacted.usage.output_tokens > 0
    types = [item.type for item in compacted.output]
    assert types == ["message", "message", "compaction"]
    # The model repeats all that it reads.
    for text in ("first", "second", "Summary of the conversation so far:", "third"):
        assert text in third.output_text


@pytest.mark.parametrize("given", ["resp_0123456789abcdefghjkmnpqrs", "resp_x", "run"])
def test_an_unknown_response_is_not_found(openai_client: OpenAI, given: str) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        openai_client.responses.retrieve(given)

    assert error.value.code == "run_not_found"


def test_somebody_elses_response_is_not_found(
    openai_client: OpenAI, bob: OpenAI
) -> None:
    response = openai_client.responses.create(input="one two three")

    for act in (
        lambda: bob.responses.retrieve(response.id),
        lambda: bob.responses.cancel(response.id),
        lambda: bob.responses.delete(response.id),
        lambda: bob.responses.input_items.list(response.id),
    ):
        with pytest.raises(openai.NotFoundError):
            act()
    assert openai_client.responses.retrieve(response.id).output_text == "one two three"


def test_what_cannot_be_honoured_is_a_bad_request(openai_client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        openai_client.responses.create(input="Hi", tools=[{"type": "web_search"}])

    assert error.value.param == "tools[0].type"
    assert error.value.code == "unsupported_parameter"


def test_an_unknown_previous_response_is_a_bad_request(openai_client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        openai_client.responses.create(input="Hi", previous_response_id="resp_x")

    assert error.value.code == "previous_response_not_found"


def test_an_unknown_model_is_not_found(openai_client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        openai_client.responses.create(input="Hi", model="gpt-nothing")

    assert error.value.code == "model_not_found"


def test_a_wrong_key_is_refused(openai_client: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="lk_wrong").responses.create(input="Hi")


def test_an_answer_that_was_cut_is_incomplete(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(deltas=["one ", "two "])

    response = openai_client.responses.create(input="count", max_output_tokens=2)

    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert (response.max_output_tokens, response.output_text) == (2, "one two ")


def test_a_failure_is_raised_where_there_is_nothing_else(
    site: Site, openai_client: OpenAI
) -> None:
    site.replicate.rule(end="failed", after=0)

    with pytest.raises(openai.APIStatusError) as error:
        openai_client.with_options(max_retries=2).responses.create(input="fail now")

    assert error.value.status_code >= 400
    runs = own_api(site, "GET", "/history/?limit=5")["history"]
    assert [run["prompt"] for run in runs].count("fail now") == 1


def test_a_run_of_the_own_api_is_a_response_and_can_be_gone_on_from(
    site: Site, openai_client: OpenAI
) -> None:
    answer = own_api(site, "POST", "/prompt/", json={"prompt": "first"})
    response = openai_client.responses.retrieve(answer["id"].replace("run_", "resp_"))

    second = openai_client.responses.create(
        input="second", previous_response_id=response.id
    )

    assert response.output_text == answer["response"]
    assert "first" in second.output_text
    assert second.conversation is not None
    assert second.conversation.id == answer["conversation_id"]


def test_a_response_that_shall_not_be_stored_is_read_once(
    openai_client: OpenAI,
) -> None:
    response = openai_client.responses.create(input="one two three", store=False)
    again = openai_client.responses.retrieve(response.id)

    assert (response.output_text, response.to_dict()["store"]) == (
        "one two three",
        False,
    )
    assert (again.output_text, again.to_dict()["store"]) == ("", False)
    with pytest.raises(BadRequestError, match="not to be stored"):
        openai_client.responses.create(input="And?", previous_response_id=response.id)


async def test_the_async_openai_client_is_answered_streamed_to_and_answered_later(
    async_openai_client: AsyncOpenAI,
) -> None:
    responses = async_openai_client.responses
    plain = await responses.create(input="one two three")
    async with responses.stream(input="one two three", model=MODEL) as stream:
        streamed = await stream.get_final_response()
    later: Response = await responses.create(input="one two three", background=True)
    while later.status in OPEN:
        await asyncio.sleep(0.02)
        later = await responses.retrieve(later.id)
    items = [item async for item in responses.input_items.list(later.id)]

    for response in (plain, streamed, later):
        assert (response.status, response.output_text) == ("completed", "one two three")
    assert len(items) == 1


class Animal(BaseModel):
    name: str
    legs: int


async def test_an_answer_can_be_parsed_where_the_model_can_keep_to_a_schema(
    tmp_path: Path,
) -> None:
    settings = Settings.model_construct(
        database_url=f"sqlite:///{tmp_path / 'parsed.db'}", demo=True, shutdown_grace=0
    )
    provider = ScriptedProvider(['{"name": "llama", ', '"legs": 4}'])

    async with connect(settings, provider) as http:
        client = AsyncOpenAI(base_url="http://test/v1", api_key=ALICE, http_client=http)
        parsed = await client.responses.parse(input="Which?", text_format=Animal)
        async with client.responses.stream(
            input="?", model="parrot", text_format=Animal
        ) as stream:
            streamed = await stream.get_final_response()

    assert parsed.output_parsed == Animal(name="llama", legs=4)
    assert streamed.output_parsed == parsed.output_parsed
    told = provider.requests[0].parameters.response_format
    assert told is not None
    assert told["json_schema"]["schema"]["required"] == ["name", "legs"]


def test_a_model_that_knows_no_schema_says_so(openai_client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        openai_client.responses.parse(
            model="replicate:llamakeep/parrot", input="Which?", text_format=Animal
        )

    assert error.value.code == "unsupported_parameter"
