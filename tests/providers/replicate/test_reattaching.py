"""Coming back to predictions that somebody else has created."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from llamakeep.domain import Message
from llamakeep.errors import (
    AnswerExpired,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.providers.base import (
    Accepted,
    Candidate,
    CompletionRequest,
    Event,
    Finished,
)
from llamakeep.providers.replicate import ReplicateProvider
from tests.providers.asking import Answer, ask
from tests.providers.replicating import (
    FAULTS_OF_A_POLL,
    GARBLED,
    MAVERICK,
    PARROT,
    Control,
    asking,
    provider_at,
)
from tests.providers.stub_server import running_stub, whole
from tests.waiting import LONG_ENOUGH


async def left_running(
    provider: ReplicateProvider, request: CompletionRequest | None = None
) -> str:
    """Create a prediction and go away as a server does that dies."""
    async with aclosing(provider.answer(request or asking())) as events:
        accepted = await anext(events)
        provider.detach()
    assert isinstance(accepted, Accepted)
    assert accepted.handle is not None
    return accepted.handle


async def resumed(provider: ReplicateProvider, handle: str) -> Answer:
    answer = Answer()
    async with aclosing(provider.resume(asking(), handle)) as events:
        async for event in events:
            if isinstance(event, str):
                answer.deltas.append(event)
            elif isinstance(event, Accepted):
                answer.accepted = event
            elif isinstance(event, Finished):
                answer.finished = event
            else:
                answer.add(event)
    return answer


@pytest.mark.parametrize("gap", [0, 0.05])
async def test_a_running_answer_is_resumed_from_its_start(
    replicate: ReplicateProvider, control: Control, gap: float
) -> None:
    await control.rule(gap=gap, first_delay=0)
    handle = await left_running(replicate)
    await asyncio.sleep(0.03)
    answer = await resumed(replicate, handle)

    assert answer.text == "one two three"
    assert answer.accepted is not None
    assert answer.accepted.handle == handle
    assert answer.finished is not None
    assert answer.finished.usage.output_tokens == 3
    assert (await control.requests())["create"] == 1


async def test_an_erased_answer_has_expired(
    replicate: ReplicateProvider, control: Control
) -> None:
    handle = await left_running(replicate)
    await control.until("succeeded")
    await control.advance(3601)

    with pytest.raises(AnswerExpired, match="an hour"):
        await resumed(replicate, handle)


async def test_an_answer_that_stays_unknown_has_expired(control: Control) -> None:
    provider = provider_at(control.origin, silence_timeout=0.3)
    with pytest.raises(AnswerExpired, match="does not know") as caught:
        await resumed(provider, "nothing")
    await provider.close()

    assert not caught.value.answer_may_exist
    assert (await control.requests())["get"] > 1


@pytest.mark.parametrize("fault", FAULTS_OF_A_POLL)
async def test_a_resumed_answer_is_asked_for_until_it_can_be_had(
    replicate: ReplicateProvider, control: Control, fault: dict[str, object]
) -> None:
    handle = await left_running(replicate)
    await control.until("succeeded")
    await control.rule(on="get", times=4, **fault)

    assert (await resumed(replicate, handle)).text == "one two three"
    assert (await control.requests())["get"] == 5
    assert "cancel" not in await control.requests()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503}, ProviderUnavailable),
        ({"garbled": "half"}, ProviderAnswerInvalid),
    ],
)
async def test_what_cannot_be_resumed_for_long_may_be_resumed_later(
    control: Control, fault: dict[str, object], error: type[ProviderError]
) -> None:
    provider = provider_at(control.origin, silence_timeout=0.3)
    handle = await left_running(provider)
    await control.until("succeeded")
    await control.rule(on="get", times=None, **fault)
    with pytest.raises(error) as caught:
        await resumed(provider, handle)
    await provider.close()

    assert caught.value.answer_may_exist
    assert "cancel" not in await control.requests()


async def test_canceling_is_done_once_and_may_be_said_twice(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(end="never")
    handle = await left_running(replicate)
    await replicate.cancel(handle)
    await replicate.cancel(handle)
    await replicate.cancel("unknown")

    assert (await control.only())["status"] == "canceled"


async def test_an_endless_prediction_is_given_up_and_canceled(
    control: Control,
) -> None:
    provider = provider_at(control.origin)
    await control.rule(end="never", gap=0)
    handle = await left_running(provider)
    await provider.close()
    provider = provider_at(control.origin)
    provider._cancel_after = -10  # and ten seconds of grace
    with pytest.raises(ProviderTimeout):
        await resumed(provider, handle)
    await provider.close()

    assert (await control.only())["status"] == "canceled"


A_WHILE = timedelta(seconds=30)


CONVERSATION = (Message("system", "Be brief."), Message("user", "Hello"))


@pytest.mark.parametrize(
    "request_",
    [
        asking(),
        asking(temperature=0.5, max_tokens=3, stop=("a", "b")),
        asking(before=CONVERSATION),
        asking(model=PARROT),
    ],
)
async def test_a_prediction_whose_response_was_lost_is_found(
    replicate: ReplicateProvider, control: Control, request_: CompletionRequest
) -> None:
    await control.rule(drop=True, creates=True)
    with pytest.raises(ProviderUnavailable):
        await ask(replicate, request_)

    found = await replicate.find(request_, within=A_WHILE)

    assert found == [Candidate((await control.only())["id"], is_proven=False)]


async def test_predictions_of_others_are_not_found(
    replicate: ReplicateProvider, control: Control
) -> None:
    await ask(replicate, asking("something else"))
    await ask(replicate, asking(temperature=0.1))
    await ask(replicate, asking(model="meta/llama-4-scout-instruct"))
    await ask(replicate, asking())

    assert len(await control.predictions()) == 4
    assert len(await replicate.find(asking(), within=A_WHILE)) == 1


async def test_what_was_created_long_before_is_not_found(
    replicate: ReplicateProvider, control: Control
) -> None:
    await ask(replicate, asking())
    await control.advance(600)
    await ask(replicate, asking("something else"))

    assert await replicate.find(asking(), within=A_WHILE) == []
    assert len(await replicate.find(asking(), within=timedelta(hours=1))) == 1


async def test_those_that_are_alike_come_oldest_first_over_all_pages(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.set(page_size=2)
    handles = [await left_running(replicate) for _ in range(5)]

    found = await replicate.find(asking(), within=A_WHILE)

    assert [each.handle for each in found] == handles
    assert not any(each.is_proven for each in found)


async def test_what_a_server_that_was_frozen_has_canceled_is_not_found(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(end="never")
    await replicate.cancel(await left_running(replicate))

    assert len(await control.predictions()) == 1
    assert await replicate.find(asking(), within=A_WHILE) == []


async def test_a_webhook_proves_whose_a_prediction_is(
    replicate: ReplicateProvider, control: Control
) -> None:
    unmarked = await left_running(replicate)
    provider = provider_at(control.origin, webhook_url="http://127.0.0.1:1/hook")
    mine = await left_running(provider, asking(run_id="run_mine"))
    await left_running(provider, asking(run_id="run_other"))
    found = await provider.find(asking(run_id="run_mine"), within=A_WHILE)
    nothing = await provider.find(asking(run_id="run_third"), within=A_WHILE)
    webhooks = {each.get("webhook") for each in await control.predictions()}
    is_mine = await provider.is_proven(asking(run_id="run_mine"), mine)
    is_others = await provider.is_proven(asking(run_id="run_other"), mine)
    await provider.close()

    assert found == [Candidate(mine, is_proven=True)]
    assert nothing == [Candidate(unmarked, is_proven=False)]
    assert "http://127.0.0.1:1/hook?run=run_mine&attempt=1" in webhooks
    assert (is_mine, is_others) == (True, False)
    assert (provider.marks_answers, replicate.marks_answers) == (True, False)


async def test_a_prediction_that_is_polled_is_looked_at_when_a_hint_comes(
    replicate: ReplicateProvider, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.providers.backoff.FIRST_PAUSE", 30)
    await control.rule(on="stream", status=404, times=None)
    await control.rule(first_delay=0.5)
    async with aclosing(replicate.answer(asking())) as events:
        accepted = await anext(events)
        assert isinstance(accepted, Accepted)
        assert accepted.handle is not None
        answering = asyncio.create_task(rest_of(events))
        await control.until("succeeded")
        replicate.hint("another")
        replicate.hint(accepted.handle)
        async with asyncio.timeout(LONG_ENOUGH):
            text = await answering

    replicate.hint(accepted.handle)  # nobody waits any more
    assert text == "one two three"


async def rest_of(events: AsyncGenerator[Event, None]) -> str:
    return "".join([event async for event in events if isinstance(event, str)])


@pytest.mark.parametrize("ahead", [-7200.0, -120.0, 120.0, 7200.0])
async def test_what_is_found_does_not_depend_on_our_clock(
    replicate: ReplicateProvider, control: Control, ahead: float
) -> None:
    await control.set(clock_ahead=ahead)
    await control.rule(drop=True, creates=True)
    with pytest.raises(ProviderUnavailable):
        await ask(replicate, asking())

    found = await replicate.find(asking(), within=A_WHILE)

    assert [each.handle for each in found] == [(await control.only())["id"]]
    now = replicate.now()
    assert now is not None
    skew = (now - datetime.now(UTC)).total_seconds()
    assert ahead - 3 < skew < ahead + 3


@pytest.mark.parametrize("garbled", GARBLED)
async def test_a_list_that_cannot_be_read_is_not_an_empty_one(
    replicate: ReplicateProvider, control: Control, garbled: str
) -> None:
    await left_running(replicate)
    await control.rule(on="list", garbled=garbled, times=3)
    with pytest.raises(ProviderAnswerInvalid):
        await replicate.find(asking(), within=A_WHILE)

    assert len(await replicate.find(asking(), within=A_WHILE)) == 1


@pytest.mark.parametrize(
    "page",
    [
        {"results": [None]},
        {"results": [{"id": "p1"}]},
        {"results": [{"status": "processing"}]},
        {"results": {}},
        {"results": [], "next": 7},
        {"results": [], "next": "https://api.replicate.com/v1/predictions"},
        {"results": [], "next": "https://api.replicate.com/v1/predictions?cursor=c"},
    ],
)
async def test_a_list_with_something_unreadable_is_not_taken_for_all(
    page: dict[str, object],
) -> None:
    async with running_stub(whole(200, page)) as stub:
        provider = provider_at(stub.base_url)
        with pytest.raises(ProviderAnswerInvalid):
            await provider.find(asking(), within=A_WHILE)
        await provider.close()


async def test_a_list_that_there_is_not_is_an_outage(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(on="list", status=404)

    with pytest.raises(ProviderUnavailable):
        await replicate.find(asking(), within=A_WHILE)


async def test_a_list_that_is_cut_off_is_an_outage(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(on="list", drop=True, times=3)

    with pytest.raises(ProviderUnavailable):
        await replicate.find(asking(model=MAVERICK), within=A_WHILE)
