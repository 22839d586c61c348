"""Which nodes are dead, as one that looks at them decides."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

import pytest

from llamakeep.domain import utc_now
from llamakeep.engine.recovery import nodes
from llamakeep.engine.recovery.nodes import NodeWatch
from llamakeep.errors import StorageUnavailable
from llamakeep.storage import Storage
from llamakeep.storage.runs.nodes import Node

OWN, OTHER = "node_own", "node_other"


@dataclass
class Database:
    """What there is to see of two nodes, and what this one does about it."""

    found: dict[str, Node] = field(
        default_factory=lambda: {each: alive(each) for each in (OWN, OTHER)}
    )
    number: int = 1
    is_held: bool = True
    dead: list[str] = field(default_factory=list)
    failure: str = ""
    """Why no session can be held."""
    renewals: int = 0
    looks_for_runs: int = 0

    async def nodes(self) -> Sequence[Node]:
        return [*self.found.values()]

    async def note_session(self, node: str) -> None:
        self.found[node] = replace(self.found[node], had_session=True)

    async def declare_dead(self, silent: Collection[Node]) -> None:
        for each in silent:
            if self.found[each.id].lease_until == each.lease_until:
                del self.found[each.id]
                self.dead.append(each.id)

    async def open_session(
        self, node: str, *, told: Callable[[], None], lost: Callable[[], None]
    ) -> "Database":
        del node, told, lost
        return self

    async def hold(self) -> None:
        if self.failure:
            raise StorageUnavailable(self.failure)
        self.is_held = True

    def other(self, **facts: object) -> None:
        self.found[OTHER] = replace(self.found[OTHER], **facts)  # type: ignore[arg-type]


def alive(node: str) -> Node:
    return Node(node, utc_now() + timedelta(seconds=30), False, True)


async def look(database: Database, watch: NodeWatch, times: int = 2) -> list[str]:
    """Look at all nodes so often, a grace apart, and return the dead ones."""
    for _ in range(times):
        await watch._look()
        await asyncio.sleep(nodes.GRACE)
    return database.dead


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
async def watch(database: Database, monkeypatch: pytest.MonkeyPatch) -> NodeWatch:
    monkeypatch.setattr("llamakeep.engine.recovery.nodes.GRACE", 0.01)
    monkeypatch.setattr("llamakeep.engine.recovery.nodes.LAST_LOOK", 0.01)
    for name in ("SETTLING", "AFTER_ALL"):
        monkeypatch.setattr(f"llamakeep.engine.recovery.nodes.{name}", 3600)

    def renew() -> None:
        database.renewals += 1

    def take_over() -> None:
        database.looks_for_runs += 1

    watch = NodeWatch(cast("Storage", database), OWN, renew=renew, take_over=take_over)
    await watch._hold()
    return watch


async def test_living_nodes_are_left_alone(
    database: Database, watch: NodeWatch
) -> None:
    assert await look(database, watch, 3) == []
    assert (database.renewals, database.looks_for_runs) == (0, 0)


async def test_a_node_whose_session_has_ended_is_dead_after_the_grace(
    database: Database, watch: NodeWatch
) -> None:
    await look(database, watch, 1)
    database.other(has_session=False)

    assert await look(database, watch, 1) == []
    assert await look(database, watch, 1) == [OTHER]
    assert database.looks_for_runs


async def test_a_node_whose_lease_is_over_is_dead_whether_it_has_a_session(
    database: Database, watch: NodeWatch
) -> None:
    database.other(is_expired=True)

    assert await look(database, watch) == [OTHER]


async def test_a_node_that_never_had_a_session_is_found_by_its_lease_alone(
    database: Database, watch: NodeWatch
) -> None:
    database.other(has_session=False)

    assert await look(database, watch, 3) == []


async def test_a_session_that_ended_unseen_counts_once_all_had_time_to_come_back(
    database: Database, watch: NodeWatch
) -> None:
    database.other(has_session=False, had_session=True)

    assert await look(database, watch, 3) == []
    watch._settled_at = 0
    assert await look(database, watch) == [OTHER]


async def test_a_node_that_renews_its_lease_without_a_session_lives(
    database: Database, watch: NodeWatch
) -> None:
    await look(database, watch, 1)
    for seconds in range(5):
        until = cast("datetime", database.found[OTHER].lease_until)
        database.other(
            has_session=False, lease_until=until + timedelta(seconds=seconds + 1)
        )
        assert await look(database, watch, 1) == []


@pytest.mark.parametrize("change", ["own session", "other server", "own lease"])
async def test_who_may_have_been_away_itself_declares_nobody_dead(
    database: Database, watch: NodeWatch, change: str
) -> None:
    await look(database, watch, 1)
    database.other(has_session=False)
    if change == "own session":  # it is another one, after a restart of PostgreSQL
        database.number += 1
    elif change == "other server":  # which knows of no session
        database.found[OWN] = replace(database.found[OWN], has_session=False)
    else:
        database.found[OWN] = replace(database.found[OWN], is_expired=True)

    assert await look(database, watch, 3) == []
    assert bool(database.renewals) == (change == "own lease")


async def test_a_node_that_vanished_has_runs_looked_for(
    database: Database, watch: NodeWatch
) -> None:
    await look(database, watch, 1)
    del database.found[OTHER]

    await look(database, watch, 1)

    assert database.looks_for_runs == 1


async def test_who_was_declared_dead_joins_again(
    database: Database, watch: NodeWatch
) -> None:
    del database.found[OWN]

    await look(database, watch, 1)

    assert database.renewals == 1


async def test_leases_that_are_over_together_are_given_time_to_be_renewed(
    database: Database, watch: NodeWatch
) -> None:
    for each in (OWN, OTHER):  # PostgreSQL was frozen
        database.found[each] = replace(database.found[each], is_expired=True)
    await look(database, watch, 1)
    database.found[OWN] = alive(OWN)

    assert await look(database, watch, 3) == []
    watch._counts_on_leases_at = 0
    assert await look(database, watch) == [OTHER]


REASONS = {
    "db.example.com cannot be used: it does not answer.": "it does not answer",
    "": "LLAMAKEEP_DATABASE_DIRECT_URL has to lead to the same database",
}


@pytest.mark.parametrize("failure", REASONS)
async def test_a_node_without_a_session_says_once_why_its_end_is_noticed_late(
    database: Database,
    watch: NodeWatch,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: str,
) -> None:
    monkeypatch.setattr("llamakeep.engine.recovery.nodes.WITHOUT_SESSION", 0.005)
    database.found[OWN] = replace(database.found[OWN], has_session=False)
    database.failure, database.is_held = failure, not failure
    await watch._hold()

    assert await look(database, watch, 4) == []

    [warning] = caplog.messages
    assert REASONS[failure] in warning
    database.found[OWN] = replace(database.found[OWN], has_session=True)
    assert await look(database, watch, 2) == []
    assert len(caplog.messages) == 1
