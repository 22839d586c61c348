"""What a parent and a worker tell one another."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llamakeep.domain.rates import Rate
from llamakeep.errors import (
    NoProvider,
    ProviderUnavailable,
    RunFailed,
    ServerStopping,
    TooManyAttempts,
)
from llamakeep.limits.rates import Limit, OwnCounts
from llamakeep.limits.throttle import LoginThrottle
from llamakeep.metrics.metrics import Metrics
from llamakeep.providers.local.supervisor import Endpoint
from llamakeep.workers.channel import Channel, Facts
from llamakeep.workers.shared import (
    ParentsModel,
    RemoteRateLimiter,
    RemoteThrottle,
    answers,
)

MINUTE = Rate(2, 60)


class Model:
    """A supervisor whose model is ready, or not."""

    def __init__(self) -> None:
        self.endpoints = [Endpoint("http://127.0.0.1:1/v1", "secret", 1)]
        self.error: Exception | None = None
        self.replaced: list[Endpoint | None] = []

    async def endpoint(self, *, instead_of: Endpoint | None = None) -> Endpoint:
        if self.error:
            raise self.error
        self.replaced.append(instead_of)
        return self.endpoints[-1]

    async def close(self) -> None: ...


class Pair:
    """Both ends of a channel."""

    def __init__(self, parent: Channel, worker: Channel, model: Model) -> None:
        self.parent = parent
        self.worker = worker
        self.model = model
        self.heard: list[Facts] = []


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ends = [await asyncio.open_connection(sock=end) for end in socket.socketpair()]
    model = Model()
    heard: list[Facts] = []
    counts = Metrics().count_all
    given = answers(model, OwnCounts(), LoginThrottle(), counts)
    parent = Channel(*ends[0], answers=given, listens={})
    worker = Channel(*ends[1], answers={}, listens={"stop": heard.append})
    pair = Pair(parent, worker, model)
    pair.heard = heard
    yield pair
    await parent.close()
    await worker.close()


async def test_what_is_told_is_heard(pair: Pair) -> None:
    pair.parent.tell("stop", at_once=True)
    await pair.parent.close()
    await pair.worker.ended()

    assert pair.heard == [{"at_once": True}]


async def test_a_worker_learns_where_the_model_is(pair: Pair) -> None:
    model = ParentsModel(pair.worker)

    first = await model.endpoint()
    pair.model.endpoints.append(first._replace(base_url="http://127.0.0.1:2/v1"))
    second = await model.endpoint(instead_of=first)

    assert [first, second] == pair.model.endpoints
    assert pair.model.replaced == [None, first]


@pytest.mark.parametrize(
    "error", [NoProvider("There is none."), ProviderUnavailable("Soon.", retry_after=3)]
)
async def test_an_error_arrives_as_what_it_was(pair: Pair, error: Any) -> None:
    pair.model.error = error

    with pytest.raises(type(error), match=error.detail) as caught:
        await ParentsModel(pair.worker).endpoint()

    assert caught.value.retry_after == error.retry_after


async def test_workers_count_where_the_parent_does(pair: Pair) -> None:
    limits = [Limit("key", "key_1", MINUTE), Limit("address", "::1", Rate(9, 60))]
    counts = RemoteRateLimiter(pair.worker)

    verdicts = [await counts.hit(limits) for _ in range(3)]

    assert [verdict.is_let_through for verdict in verdicts] == [True, True, False]
    assert [each.left for each in verdicts[1].standings] == [0, 7]
    assert [each.limit for each in verdicts[1].standings] == limits
    assert 59 < verdicts[0].standings[0].more_in <= 61


async def test_failed_logins_count_for_all_workers(pair: Pair) -> None:
    throttle = RemoteThrottle(pair.worker)
    await throttle.check("alice", "192.0.2.1")
    for _ in range(5):
        await throttle.failed("alice", "192.0.2.1")

    with pytest.raises(TooManyAttempts, match="Wait 1 s") as caught:
        await throttle.check("alice", None)
    await throttle.succeeded("alice", "192.0.2.1")
    await throttle.check("alice", None)

    assert caught.value.retry_after == pytest.approx(1, abs=0.2)


async def test_answers_come_to_who_asked_even_when_others_have_left(
    pair: Pair,
) -> None:
    counts = RemoteRateLimiter(pair.worker)
    asked = [
        asyncio.create_task(counts.hit([Limit("key", f"key_{number}", Rate(50, 60))]))
        for number in range(20)
    ]
    await asyncio.sleep(0)
    for task in asked[::2]:
        task.cancel()

    await asyncio.wait(asked)

    whose = [task.result().standings[0].limit.whose for task in asked[1::2]]
    assert whose == [f"key_{number}" for number in range(1, 20, 2)]


async def test_nobody_waits_for_a_parent_that_is_gone(pair: Pair) -> None:
    pair.model.endpoint = asyncio.Event().wait  # type: ignore[method-assign,assignment] # it never answers
    waiting = asyncio.create_task(pair.worker.ask("hit", limits=[]))
    await pair.parent.close()

    with pytest.raises(ServerStopping):
        await waiting
    with pytest.raises(ServerStopping):
        await pair.worker.ask("hit", limits=[])


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), KeyError("facts"), ValueError("bad")]
)
async def test_a_question_is_answered_whatever_its_answer_raises(
    pair: Pair, error: Exception
) -> None:
    pair.model.error = error

    async with asyncio.timeout(5):
        with pytest.raises(RunFailed) as caught:
            await ParentsModel(pair.worker).endpoint()

    assert str(error) not in caught.value.detail
    pair.model.error = None
    assert await ParentsModel(pair.worker).endpoint()


async def test_a_question_that_does_not_exist_is_answered(pair: Pair) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(RunFailed):
            await pair.worker.ask("why")


async def test_an_answer_that_is_no_json_is_an_error(pair: Pair) -> None:
    pair.model.endpoints = [object()]  # type: ignore[list-item] # that is the point

    async with asyncio.timeout(5):
        with pytest.raises(RunFailed):
            await pair.worker.ask("endpoint", instead_of=None)


async def test_a_listener_that_fails_does_not_end_the_channel(pair: Pair) -> None:
    pair.parent.tell("nothing that is known")
    pair.parent.tell("stop", at_once=False)

    assert await pair.worker.ask("hit", limits=[])
    assert pair.heard == [{"at_once": False}]


@pytest.mark.parametrize("line", [b"no JSON\n", b"x" * 200_000 + b"\n", b"[]\n"])
async def test_who_asks_what_cannot_be_read_does_not_wait(
    pair: Pair, line: bytes
) -> None:
    waiting = asyncio.create_task(pair.worker.ask("hit", limits=[], more=1))
    pair.worker._writer.write(line)

    async with asyncio.timeout(5):
        with pytest.raises((RunFailed, ServerStopping)):
            await waiting
        await pair.worker.ended()
