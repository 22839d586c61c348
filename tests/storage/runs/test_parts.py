from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llamakeep.domain import (
    Item,
    Message,
    Part,
    Reasoning,
    Refusal,
    RunStatus,
    Text,
    ToolCall,
    ToolResult,
    User,
)
from llamakeep.domain.messages import message_of, said_in
from llamakeep.errors import ContextTooLarge
from llamakeep.storage import Storage
from llamakeep.storage.runs.long_texts import STORED
from llamakeep.storage.runs.parts import (
    read,
    read_message,
    stored,
    stored_message,
)
from tests.storage.running import ended, new_run, start

CALL = ToolCall("call_1", "weather", '{"place": "Zürich 🌧')
ANSWER: list[Item] = [Reasoning("Hm. 🤔"), Text("Wait. 🙂"), CALL, Refusal("No.")]
RESULT = message_of("tool", [ToolResult("call_1", "Rain")])


async def test_an_answer_comes_back_with_all_that_the_model_said(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    answered = replace(run, response=said_in(ANSWER), output=tuple(ANSWER))

    await storage.flush([answered])
    flushed = await storage.get_run(alice, run.id)
    await storage.finish(ended(answered))
    finished = await storage.get_run(alice, run.id)

    assert flushed.response == finished.response == "Wait. 🙂No."
    assert flushed.output == finished.output == tuple(ANSWER)


async def test_what_a_prompt_has_beside_text_comes_back(
    storage: Storage, alice: User
) -> None:
    asked = Message("user", "What is the weather?", "Ada")
    calling = message_of("assistant", [CALL])
    run = await start(
        storage,
        alice,
        RESULT.content,
        last_message=RESULT,
        prior_messages=(asked, calling),
    )

    kept = await storage.get_run(alice, run.id)

    assert kept.prompt == "Rain"
    assert kept.last_message == RESULT
    assert kept.prior_messages == (asked, calling)


async def test_a_name_alone_is_kept_with_its_prompt(
    storage: Storage, alice: User
) -> None:
    named = Message("user", "Why?", "Ada")
    run = await start(storage, alice, "Why?", last_message=named)

    assert (await storage.get_run(alice, run.id)).last_message == named


async def test_the_context_of_a_prompt_has_calls_and_results(
    storage: Storage, alice: User
) -> None:
    first = await start(storage, alice, "What is the weather?")
    await storage.finish(ended(first, output=(CALL,)))
    second = await start(
        storage,
        alice,
        RESULT.content,
        last_message=RESULT,
        conversation_id=first.conversation_id,
    )
    await storage.finish(ended(second, response="Take an umbrella."))

    context = await storage.context(alice.id, first.conversation_id, most=10**6)

    assert [run.output for run in context.runs] == [(CALL,), ()]
    assert context.runs[1].last_message == RESULT


async def test_large_arguments_count_as_context(storage: Storage, alice: User) -> None:
    run = await start(storage, alice)
    await storage.finish(ended(run, output=(replace(CALL, text="x" * 10_000),)))

    with pytest.raises(ContextTooLarge):
        await storage.context(alice.id, run.conversation_id, most=9_000)


async def test_a_long_answer_of_several_items_is_listed_whole(
    storage: Storage, alice: User
) -> None:
    long: tuple[Item, ...] = (Text("x" * 5000), CALL)
    plain = await start(storage, alice)
    await storage.finish(ended(plain, response="x" * 5000))
    called = await start(storage, alice)
    await storage.finish(ended(called, response=said_in(long), output=long))

    newest, older = await storage.history(alice, longest=1000)

    assert older.response is STORED
    assert newest.output == long


async def test_imported_runs_keep_their_parts(storage: Storage, alice: User) -> None:
    run = new_run(
        alice,
        RESULT.content,
        status=RunStatus.SUCCEEDED,
        last_message=RESULT,
        output=tuple(ANSWER),
        response=said_in(ANSWER),
    )

    await storage.import_runs(alice, [run])

    [kept] = await storage.history(alice)
    assert (kept.last_message, kept.output) == (RESULT, tuple(ANSWER))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
parts = st.lists(
    st.builds(Text, texts)
    | st.builds(Reasoning, texts)
    | st.builds(Refusal, texts)
    | st.builds(ToolCall, texts, texts, texts)
    | st.builds(ToolResult, texts, texts),
    max_size=4,
)


@hypothesis_settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(parts=parts)
def test_parts_are_stored_without_what_is_said_in_them(parts: list[Part]) -> None:
    message = Message("assistant", said_in(parts), parts=tuple(parts))

    assert read(stored(parts), said_in(parts)) == tuple(parts)
    assert read_message(*stored_message(message)) == message
