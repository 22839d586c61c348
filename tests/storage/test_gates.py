import asyncio
from dataclasses import replace
from datetime import timedelta

from llamakeep.domain import RunStatus, User
from llamakeep.storage import Storage
from llamakeep.storage.runs.gates import Gate
from tests.storage.running import LEASE, NODE, ended, start


def closed(gate: Gate, seconds: float = 60) -> Gate:
    return replace(
        gate,
        closed_until=gate.now + timedelta(seconds=seconds),
        error_code="provider-rate-limited",
        error_detail="Slow down.",
    )


def one_more(gate: Gate) -> Gate:
    return replace(gate, failures=gate.failures + 1)


async def test_there_is_no_gate_until_something_happens(storage: Storage) -> None:
    assert await storage.gates() == []

    await storage.change_gate("replicate", lambda gate: gate)

    assert await storage.gates() == []


async def test_a_closed_gate_is_seen_by_everybody_with_its_reason(
    storage: Storage,
) -> None:
    before, gate = await storage.change_gate("replicate", closed)

    [seen] = await storage.gates()

    assert before == Gate("replicate", gate.now)
    assert seen == replace(gate, now=seen.now)
    assert seen.closed_until is not None
    assert timedelta(0) < seen.closed_until - seen.now < timedelta(seconds=60)
    assert (seen.error_code, seen.error_detail) == (
        "provider-rate-limited",
        "Slow down.",
    )


async def test_the_moments_of_a_gate_are_the_databases(storage: Storage) -> None:
    _, first = await storage.change_gate("replicate", one_more)
    await asyncio.sleep(0.002)
    before, second = await storage.change_gate("replicate", one_more)

    assert first.now < before.now == second.now
    assert second.now.utcoffset() == timedelta(0)


async def test_a_gate_can_be_opened_again(storage: Storage) -> None:
    await storage.change_gate("replicate", closed)

    await storage.change_gate("replicate", lambda gate: Gate("replicate", gate.now))

    [seen] = await storage.gates()
    assert seen == Gate("replicate", seen.now)


async def test_no_failure_is_counted_twice_or_forgotten(storage: Storage) -> None:
    names = ["replicate", "another"]

    await asyncio.gather(
        *(storage.change_gate(name, one_more) for name in names for _ in range(8))
    )

    gates = await storage.gates()
    assert {gate.provider: gate.failures for gate in gates} == dict.fromkeys(names, 8)


async def test_a_run_that_nobody_heard_of_can_wait_again(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)

    assert await storage.requeue(run)

    queued = replace(run, status=RunStatus.QUEUED, started_at=None)
    assert await storage.get_run(alice, run.id) == queued
    assert [held.run_id for held in await storage.renew(NODE, [run.id], lease=9)]
    assert await storage.claim(queued, lease=LEASE)
    again = await storage.get_run(alice, run.id)
    assert (again.status, again.attempt) == (RunStatus.STARTING, 2)


async def test_a_run_that_is_being_answered_over_or_lost_does_not_wait_again(
    storage: Storage, alice: User
) -> None:
    attached, over, lost = [await start(storage, alice) for _ in range(3)]
    await storage.attach(attached, "there")
    await storage.finish(ended(over))

    assert not await storage.requeue(attached)
    assert not await storage.requeue(over)
    assert not await storage.requeue(replace(lost, attempt=0))

    statuses = [run.status for run in await storage.history(alice)]
    assert statuses == [
        RunStatus.STARTING,
        RunStatus.SUCCEEDED,
        RunStatus.PROCESSING,
    ]
