"""What models on Replicate say, whatever it is, and whatever comes in between."""

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from llamakeep.errors import ProviderAnswerInvalid, ProviderError
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.api import ReplicateApi
from llamakeep.providers.replicate.predictions import MAX_TEXT, read_prediction
from llamakeep.providers.replicate.reading import LARGE
from tests.providers.asking import ask
from tests.providers.replicating import (
    FAULTS_OF_A_POLL,
    GARBLED,
    Control,
    asking,
    provider_at,
)
from tests.providers.stub_server import running_stub, whole

ODD = [
    {"text": "Hello"},
    {"text": "schön", "n": [1, 2.5, None]},
    {},
    42,
    0,
    2.5,
    True,
    False,
    [["a", "b"], ["c"]],
    ["Hello", 42],
    ["Hello", None],
    [{"word": "Hello"}],
    [1, 2],
]


@pytest.mark.parametrize("output", ODD)
@pytest.mark.parametrize("is_followed", [True, False])
@pytest.mark.parametrize("streams", [True, False])
async def test_an_output_that_is_no_text_is_kept_as_its_json(
    replicate: ReplicateProvider,
    control: Control,
    output: Any,
    is_followed: bool,
    streams: bool,
) -> None:
    await control.rule(output=output, streams=streams)

    answer = await ask(replicate, asking(is_followed=is_followed))

    assert json.loads(answer.text) == output
    assert answer.finished is not None
    assert answer.finished.finish_reason == "stop"


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("Hello", "Hello"),
        ("", ""),
        (["Hel", "lo"], "Hello"),
        ([], ""),
        (None, ""),
        ('{"text": "Hello"}', '{"text": "Hello"}'),
        (["\ud83d", "\ude00"], "\U0001f600"),
        ("half \ud83d", "half \ufffd"),
        ("a\0b", "a\ufffdb"),
        ({"text": "\ud83d"}, '{"text": "\ufffd"}'),
    ],
)
async def test_an_output_that_is_text_is_kept_as_it_is(output: Any, text: str) -> None:
    async with running_stub(whole(201, prediction(output))) as stub:
        provider = provider_at(stub.base_url)
        answer = await ask(provider, asking(is_followed=False))
        await provider.close()

    assert answer.text == text
    assert answer.finished is not None


async def test_bytes_that_are_no_text_are_replaced_one_by_one() -> None:
    body = json.dumps(prediction("a?b")).encode().replace(b"a?b", b"a\xff\xc3b")
    async with running_stub(whole(201, body)) as stub:
        provider = provider_at(stub.base_url)
        answer = await ask(provider)
        await provider.close()

    assert answer.text == "a\ufffd\ufffdb"


async def test_an_output_that_is_no_text_yet_is_waited_for() -> None:
    created = whole(201, prediction(None, "starting"))
    async with running_stub(created) as stub:
        stub.script_of_get = [whole(200, prediction({"progress": 1}, "processing"))]
        provider = provider_at(stub.base_url)
        answers = aiter(provider.answer(asking()))
        await anext(answers)
        stub_is_asked = len(stub.heard)
        stub.script_of_get = [whole(200, prediction({"text": "Hello"}))]
        said = [each async for each in answers if isinstance(each, str)]
        await provider.close()

    assert said == ['{"text": "Hello"}']
    assert stub_is_asked > 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS_OF_A_POLL)
@pytest.mark.parametrize("streams", [True, False])
async def test_a_fault_of_a_poll_ends_and_cancels_nothing(
    replicate: ReplicateProvider,
    control: Control,
    fault: dict[str, object],
    streams: bool,
) -> None:
    await control.rule(on="get", times=4, **fault)
    await control.rule(streams=streams, first_delay=0.05)

    answer = await ask(replicate, asking())

    assert answer.text == "one two three"
    assert (await control.requests()).keys() >= {"create", "get"}
    assert "cancel" not in await control.requests()


@pytest.mark.parametrize("fault", FAULTS_OF_A_POLL)
async def test_an_answer_whose_stream_was_done_does_not_need_the_poll(
    replicate: ReplicateProvider, control: Control, fault: dict[str, object]
) -> None:
    await control.rule(on="get", times=None, **fault)

    answer = await ask(replicate, asking())

    assert answer.text == "one two three"
    assert answer.finished is not None
    assert "cancel" not in await control.requests()


@pytest.mark.parametrize("garbled", GARBLED)
@pytest.mark.parametrize("is_followed", [True, False])
async def test_a_create_whose_answer_cannot_be_read_may_have_made_a_prediction(
    replicate: ReplicateProvider, control: Control, garbled: str, is_followed: bool
) -> None:
    await control.rule(garbled=garbled)
    with pytest.raises(ProviderAnswerInvalid) as caught:
        await ask(replicate, asking(is_followed=is_followed))

    assert caught.value.answer_may_exist
    assert "cancel" not in await control.requests()


@pytest.mark.parametrize("status", [200, 202, 203, 204, 206, 226])
async def test_any_success_without_a_prediction_is_a_lost_create(status: int) -> None:
    async with running_stub(whole(status, b"")) as stub:
        provider = provider_at(stub.base_url)
        with pytest.raises(ProviderAnswerInvalid) as caught:
            await ask(provider, asking())
        await provider.close()

    assert caught.value.answer_may_exist


async def test_a_garbled_stream_is_asked_for_in_other_ways(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(on="stream", status=502, html=True, times=None)

    assert (await ask(replicate, asking())).text == "one two three"


async def test_an_unknown_status_is_waited_out() -> None:
    async with running_stub(whole(201, prediction(None, "booting"))) as stub:
        stub.script_of_get = [whole(200, prediction("Hello"))]
        provider = provider_at(stub.base_url)
        answer = await ask(provider, asking())
        await provider.close()

    assert answer.text == "Hello"


@pytest.mark.parametrize("status", [301, 302, 307, 409, 418])
async def test_a_create_that_was_refused_made_nothing(status: int) -> None:
    async with running_stub(whole(status, b"")) as stub:
        provider = provider_at(stub.base_url)
        with pytest.raises(ProviderError, match=str(status)) as caught:
            await ask(provider, asking())
        await provider.close()

    assert not caught.value.answer_may_exist


@pytest.mark.parametrize("is_late", [True, False])
async def test_nothing_is_created_for_a_run_that_may_be_another_servers(
    replicate: ReplicateProvider, control: Control, is_late: bool
) -> None:
    request = replace(asking(), is_late=lambda: is_late)
    if is_late:
        with pytest.raises(ProviderError) as caught:
            await ask(replicate, request)
        assert caught.value.answer_may_exist
        assert not caught.value.was_tried
    else:
        assert (await ask(replicate, request)).text == "one two three"

    assert len(await control.predictions()) == (0 if is_late else 1)


async def test_more_hosts_of_streams_than_are_kept_are_streamed_from() -> None:
    words = whole(200, b"event: output\ndata: Hi\n\nevent: done\ndata: {}\n\n")
    async with running_stub(words) as stub:
        api = ReplicateApi(stub.base_url, "r8_x", connect_timeout=5, silence_timeout=5)
        for number in range(1, 40):
            found = api._stream_client(f"https://s{number}.example/stream")
            assert found is not None
            await api._forget_stream_hosts()
        kept = list(api._stream_clients)
        await api.close()

    assert kept == [f"https://s{number}.example" for number in range(24, 40)]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("x" * 3_000_000, "x" * 3_000_000),
        (["ab", '\\"]},', "\U0001f600"] * 200_000, 'ab\\"]},\U0001f600' * 200_000),
        (["\ud83d", "\ude00"] * 50_000, "\U0001f600" * 50_000),
    ],
)
def test_a_large_answer_is_read_like_a_small_one(output: Any, text: str) -> None:
    junk = {"logs": ['a,"]}{', {"b": [[]] * 50}], "a": {"output": "no"}}
    body = json.dumps(junk | prediction(output) | {"z": [None]}).encode()

    read = read_prediction(body)

    assert (read.id, read.status, read.text) == ("p1", "succeeded", text)
    assert (read.is_json, read.is_measured) == (False, True)


@pytest.mark.parametrize(
    "junk",
    [
        b"[],",
        b'"",',
        b'{"a":1},',
        b"1,",
        b'"\\"",',
    ],
)
def test_what_surrounds_a_large_answer_is_not_built(junk: bytes) -> None:
    start = json.dumps(prediction("ok")).encode()[:-1]
    body = start + b', "x": [' + junk * (2 * LARGE // len(junk)) + b"1]}"
    tracemalloc.start()
    read = read_prediction(body)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert read.text == "ok"
    assert most < len(body)


@pytest.mark.parametrize("cut", [1, 10, 1_000_000])
def test_a_large_answer_that_is_cut_off_is_none(cut: int) -> None:
    body = json.dumps(prediction("x" * 2_000_000)).encode()

    with pytest.raises(ProviderAnswerInvalid):
        read_prediction(body[:-cut])


def test_an_answer_that_is_too_long_is_said_to_be() -> None:
    read = read_prediction(json.dumps(prediction("x" * (MAX_TEXT + 1))).encode())

    assert (read.is_too_long, read.text) == (True, None)


def prediction(output: Any, status: str = "succeeded") -> dict[str, Any]:
    return {
        "id": "p1",
        "model": "meta/llama-4-maverick-instruct",
        "status": status,
        "output": output,
        "urls": {},
        "metrics": {"predict_time": 1.0},
    }
