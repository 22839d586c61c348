"""Nodes, their leases, and what becomes of the runs of those that are dead."""

import asyncio
from dataclasses import replace

import pytest

from llamakeep.domain import User
from llamakeep.storage import Storage, open_storage
from tests.storage.running import LEASE, NODE, ended, start


async def test_a_node_that_is_not_known_has_to_join(storage: Storage) -> None:
    assert not await storage.renew(NODE, lease=LEASE)

    await storage.join(NODE, lease=LEASE)

    assert await storage.renew(NODE, lease=LEASE)


async def test_a_dead_node_cannot_renew_its_lease(storage: Storage) -> None:
    await storage.join(NODE, lease=LEASE)

    await storage.release_leases([NODE])

    assert not await storage.renew(NODE, lease=LEASE)


async def test_who_joins_again_still_holds_what_was_not_taken_over(
    clean_postgres_url: str,
) -> None:
    async with open_storage(clean_postgres_url) as storage:
        alice = await storage.add_user("alice", None)
        for node in (NODE, "node_2"):
            await storage.join(node, lease=LEASE)
        runs = [await start(storage, alice) for _ in range(2)]
        await storage.release_leases([NODE])
        [taken] = await storage.take_over("node_2", most=1)

        held = await storage.join(NODE, lease=LEASE)

        assert {taken.id, *(each.run_id for each in held)} == {run.id for run in runs}
        assert await storage.take_over("node_2", most=1) == []


async def test_a_sole_owner_takes_all_earlier_processes_for_dead(
    storage: Storage, alice: User
) -> None:
    if not storage.is_sole_owner:
        pytest.skip("Others may be alive on this database.")
    await storage.join(NODE, lease=LEASE)
    run = await start(storage, alice)

    await storage.join("node_2", lease=LEASE)

    assert await storage.take_over("node_2") == [replace(run, attempt=2)]


async def test_a_sole_owner_does_not_write_to_keep_its_lease(storage: Storage) -> None:
    if not storage.is_sole_owner:
        pytest.skip("Leases are renewed on this database.")
    await storage.join(NODE, lease=0)
    before = storage.commits

    assert await storage.renew(NODE, lease=LEASE)

    assert storage.commits == before


async def test_an_expired_lease_is_seen_by_the_clock_of_the_database(
    clean_postgres_url: str,
) -> None:
    async with open_storage(clean_postgres_url) as storage:
        await storage.join("node_gone", lease=-0.001)
        await storage.join(NODE, lease=LEASE)

        found = {each.id: each for each in await storage.nodes()}

        assert {id_: each.is_expired for id_, each in found.items()} == {
            "node_gone": True,
            NODE: False,
        }


async def test_a_node_that_renewed_its_lease_meanwhile_is_not_declared_dead(
    clean_postgres_url: str,
) -> None:
    async with open_storage(clean_postgres_url) as storage:
        for node in (NODE, "node_gone"):
            await storage.join(node, lease=-1)
        silent = await storage.nodes()
        await storage.renew(NODE, lease=LEASE)

        await storage.declare_dead(silent)

        assert [each.id for each in await storage.nodes()] == [NODE]


async def test_a_dead_node_is_forgotten_when_nothing_is_left_of_it(
    clean_postgres_url: str,
) -> None:
    async with open_storage(clean_postgres_url) as storage:
        alice = await storage.add_user("alice", None)
        await storage.join(NODE, lease=-1)
        run = await start(storage, alice)
        await storage.release_leases([NODE])

        await storage.join("node_2", lease=LEASE)
        assert (await storage.figures()).oldest_lease is not None

        await storage.finish(ended(run))
        await storage.join("node_2", lease=LEASE)
        await start(storage, alice)  # of a node that nobody knows
        assert (await storage.figures()).oldest_lease is None


async def test_a_session_is_seen_by_others_as_long_as_it_is_open(
    clean_postgres_url: str,
) -> None:
    told, lost = asyncio.Event(), asyncio.Event()
    async with open_storage(clean_postgres_url) as storage:
        await storage.join(NODE, lease=LEASE)
        await storage.join("node_2", lease=LEASE)
        session = await storage.open_session(NODE, told=told.set, lost=lost.set)
        assert session is not None

        await session.hold()

        found = {each.id: each.has_session for each in await storage.nodes()}
        assert found == {NODE: True, "node_2": False}
        await storage.release_leases(["node_2"])
        async with asyncio.timeout(5):
            await told.wait()
        await session.close()
        assert [each.has_session for each in await storage.nodes()] == [False]
        assert not lost.is_set()


async def test_a_session_that_the_server_ends_can_be_opened_again(
    clean_postgres_url: str,
) -> None:
    lost = asyncio.Event()
    async with open_storage(clean_postgres_url) as storage:
        await storage.join(NODE, lease=LEASE)
        session = await storage.open_session(NODE, told=lambda: None, lost=lost.set)
        assert session is not None
        await session.hold()
        ending = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
            " WHERE locktype = 'advisory'"
        )
        await storage._database.write(lambda c: c.exec_driver_sql(ending).close())
        async with asyncio.timeout(5):
            await lost.wait()
        assert not session.is_held

        await session.hold()

        assert session.number == 2
        assert [each.has_session for each in await storage.nodes()] == [True]
        await session.close()


async def test_a_session_in_another_database_is_seen_by_nobody(
    clean_postgres_url: str, postgres_url: str
) -> None:
    direct = open_storage(clean_postgres_url, direct_url=postgres_url)
    async with direct as storage:
        await storage.join(NODE, lease=LEASE)
        session = await storage.open_session(NODE, told=lambda: None, lost=lambda: None)
        assert session is not None
        await session.hold()

        assert [each.has_session for each in await storage.nodes()] == [False]

        await session.close()


async def test_a_session_is_not_ended_for_being_idle(postgres_url: str) -> None:
    lost = asyncio.Event()
    async with open_storage(postgres_url, migrate=True) as storage:
        limit = "ALTER DATABASE {} SET idle_session_timeout = '50ms'"
        name = postgres_url.rpartition("/")[2]
        await storage._database.write(
            lambda c: c.exec_driver_sql(limit.format(name)).close()
        )
        session = await storage.open_session(NODE, told=lambda: None, lost=lost.set)
        assert session is not None
        await session.hold()

        await asyncio.sleep(0.5)

        assert session.is_held
        assert not lost.is_set()
        await session.close()
