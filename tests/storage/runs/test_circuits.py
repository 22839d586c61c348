import asyncio
from dataclasses import replace
from datetime import timedelta

from llamakeep.domain import RunStatus, User
from llamakeep.storage import Storage
from llamakeep.storage.runs.circuits import Circuit
from tests.storage.running import NODE, ended, start


def opened(circuit: Circuit, seconds: float = 60) -> Circuit:
    return replace(
        circuit,
        open_until=circuit.now + timedelta(seconds=seconds),
        error_code="provider-rate-limited",
        error_detail="Slow down.",
    )


def one_more(circuit: Circuit) -> Circuit:
    return replace(circuit, failures=circuit.failures + 1)


async def test_there_is_no_circuit_until_something_happens(storage: Storage) -> None:
    assert await storage.circuits() == []

    await storage.change_circuit("replicate", lambda circuit: circuit)

    assert await storage.circuits() == []


async def test_an_open_circuit_is_seen_by_all_processes_with_its_reason(
    storage: Storage,
) -> None:
    before, circuit = await storage.change_circuit("replicate", opened)

    [seen] = await storage.circuits()

    assert before == Circuit("replicate", circuit.now)
    assert seen == replace(circuit, now=seen.now)
    assert seen.open_until is not None
    assert timedelta(0) < seen.open_until - seen.now <= timedelta(seconds=60)
    assert (seen.error_code, seen.error_detail) == (
        "provider-rate-limited",
        "Slow down.",
    )


async def test_the_moments_of_a_circuit_are_the_databases(storage: Storage) -> None:
    _, first = await storage.change_circuit("replicate", one_more)
    await asyncio.sleep(0.002)
    before, second = await storage.change_circuit("replicate", one_more)

    assert first.now < before.now == second.now
    assert second.now.utcoffset() == timedelta(0)


async def test_a_circuit_can_be_closed_again(storage: Storage) -> None:
    await storage.change_circuit("replicate", opened)

    await storage.change_circuit(
        "replicate", lambda circuit: Circuit("replicate", circuit.now)
    )

    [seen] = await storage.circuits()
    assert seen == Circuit("replicate", seen.now)


async def test_no_failure_is_counted_twice_or_forgotten(storage: Storage) -> None:
    names = ["replicate", "another"]

    await asyncio.gather(
        *(storage.change_circuit(name, one_more) for name in names for _ in range(8))
    )

    circuits = await storage.circuits()
    assert {
        circuit.provider: circuit.failures for circuit in circuits
    } == dict.fromkeys(names, 8)


async def test_a_run_that_nobody_heard_of_can_wait_again(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)

    assert await storage.requeue(run)

    queued = replace(run, status=RunStatus.QUEUED, started_at=None)
    assert await storage.get_run(alice, run.id) == queued
    assert [held.run_id for held in await storage.held_runs(NODE)] == [run.id]
    assert await storage.claim(queued)
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
