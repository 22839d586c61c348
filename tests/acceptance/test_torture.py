"""A short `make torture`; what its promises are is in docs/durability.md."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from replicate_emulator import open_emulator
from tests.acceptance.processes import Runner
from tests.acceptance.prometheus import check_by_promtool, scraping
from tests.torture.backups import back_up_while_killing
from tests.torture.copies import copy_there_and_back
from tests.torture.crash_points import KEPT_POINTS, POINTS
from tests.torture.scenarios import (
    SENDING,
    Outcome,
    crash_at,
    freeze_holder,
    kill_at_random,
)
from tests.torture.site import Site, open_site, prepare
from tests.torture.upstreams.answering import (
    Opening,
    on_kept,
    on_llamakeep,
    on_replicate,
)
from tests.torture.upstreams.changing import (
    change_upstreams,
    kill_amid_limits,
    on_capped,
    on_changing,
)
from tests.torture.upstreams.chaos import kill_amid_chaos, on_chaos_and_kept

PARTS, PARTS_KEPT = 4, 2
"""Into how many tests the crash points are divided."""
FREEZES = 5
"""How often a server is frozen at the most, until it has made what is too much."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with open_emulator() as url:
        yield url


@pytest.fixture
async def site(
    runner: Runner, tmp_path: Path, emulator: str, sqlite_url: str
) -> AsyncIterator[Site]:
    chance = random.Random()
    async with open_site(runner, tmp_path, emulator, sqlite_url, chance=chance) as site:
        yield site


@dataclass
class World:
    """Makes sites of one server, each with a file of its own."""

    runner: Runner
    folder: Path
    emulator: str
    migrated_file: Path

    @asynccontextmanager
    async def site(
        self, name: str, *, opening: Opening = on_replicate
    ) -> AsyncIterator[Site]:
        folder = self.folder / name
        await asyncio.to_thread(folder.mkdir)
        file = folder / "torture.db"
        await asyncio.to_thread(shutil.copy, self.migrated_file, file)
        url, chance = f"sqlite:///{file}", random.Random()
        async with open_site(
            self.runner, folder, self.emulator, url, chance=chance, opening=opening
        ) as site:
            yield site


@pytest.fixture
def world(runner: Runner, tmp_path: Path, emulator: str, migrated_file: Path) -> World:
    return World(runner, tmp_path, emulator, migrated_file)


@pytest.fixture
async def shared_site(
    runner: Runner, tmp_path: Path, emulator: str, postgres_url: str
) -> AsyncIterator[Site]:
    """Two servers on one database."""
    await prepare(postgres_url)
    async with open_site(
        runner, tmp_path, emulator, postgres_url, chance=random.Random(), nodes=2
    ) as site:
        yield site


async def test_nothing_is_lost_or_paid_for_twice_when_a_server_is_killed_at_random(
    site: Site,
) -> None:
    found = await kill_at_random(
        site, prompts=20, kills=5, clients=5, longest_pause=0.6
    )

    assert found.verdict.damage == []
    assert found.kills == 5
    assert found.verdict.prompts >= 20


async def test_prometheus_scrapes_a_server_that_is_killed_again_and_again(
    site: Site, tmp_path: Path
) -> None:
    [node] = site.nodes
    port = node.client.base_url.port
    assert port is not None
    async with scraping(port, tmp_path) as prometheus:
        found = await kill_at_random(
            site, prompts=20, kills=3, clients=5, longest_pause=1.5
        )
        history = await node.history()
        await prometheus.until("llamakeep_database_history_rows", len(history))
        text = (await node.client.get("/metrics")).content

    assert found.verdict.damage == []
    assert found.kills == 3
    await check_by_promtool(text)


@pytest.mark.parametrize("part", range(PARTS))
async def test_nothing_is_lost_or_paid_for_twice_wherever_a_server_dies(
    world: World, part: int
) -> None:
    async def crash(name: str) -> Outcome:
        async with world.site(name) as site:
            return await crash_at(site, name, times=1)

    async with asyncio.TaskGroup() as group:
        crashes = [group.create_task(crash(name)) for name in [*POINTS][part::PARTS]]

    assert [each.result().verdict.damage for each in crashes] == [[] for _ in crashes]
    assert sum(each.result().kills for each in crashes) > len(crashes) // 2


@pytest.mark.parametrize("opening", [on_kept, on_llamakeep])
@pytest.mark.parametrize("part", range(PARTS_KEPT))
async def test_nothing_is_lost_or_paid_for_twice_where_an_upstream_keeps_the_answer(
    world: World, opening: Opening, part: int
) -> None:
    async def crash(name: str) -> Outcome:
        async with world.site(name, opening=opening) as site:
            return await crash_at(site, name, times=1)

    async with asyncio.TaskGroup() as group:
        points = [*KEPT_POINTS][part::PARTS_KEPT]
        crashes = [group.create_task(crash(name)) for name in points]

    found = [each.result() for each in crashes]
    assert [each.verdict.damage for each in found] == [[] for _ in found]
    assert sum(each.kills for each in found) > len(found) // 2
    if opening is on_llamakeep:  # its keys leave nothing that cannot be found
        assert sum(each.verdict.interrupted for each in found) == 0


async def test_an_alias_of_failing_upstreams_answers_what_may_be_answered(
    world: World,
) -> None:
    async with world.site("chaos", opening=on_chaos_and_kept) as site:
        found = await kill_amid_chaos(
            site, prompts=40, kills=3, clients=6, longest_pause=1.0
        )

    assert found.verdict.damage == []
    assert found.kills == 3
    assert found.done["succeeded"]


async def test_no_prompt_fails_because_upstreams_change(world: World) -> None:
    async with world.site("changes", opening=on_changing) as site:
        found = await change_upstreams(site, prompts=40, changes=15, clients=6)

    assert found.verdict.damage == []
    assert found.done["succeeded"] >= 40


async def test_what_waits_for_an_upstream_that_is_gone_is_answered_by_another(
    world: World,
) -> None:
    async with world.site("changes", opening=on_changing) as site:
        found = await change_upstreams(
            site, prompts=40, changes=15, clients=12, kills=3
        )

    assert found.verdict.damage == []
    assert found.kills == 3
    assert found.done["whose upstream was gone"]


async def test_counts_of_limits_are_exact_and_never_passed_whatever_is_killed(
    world: World,
) -> None:
    async with world.site("limits", opening=on_capped) as site:
        found = await kill_amid_limits(
            site, prompts=80, kills=3, clients=6, longest_pause=1.0
        )

    assert found.verdict.damage == []
    assert found.done["past the limit"]


async def test_another_server_finishes_what_a_killed_one_began(
    shared_site: Site,
) -> None:
    found = await kill_at_random(
        shared_site, prompts=8, kills=2, clients=5, longest_pause=0.8
    )

    assert found.verdict.damage == []
    assert found.kills == 2


async def test_a_server_that_was_frozen_past_its_lease_creates_nothing_more(
    shared_site: Site,
) -> None:
    found = await freeze_holder(shared_site, "before create", times=1)

    assert found.verdict.damage == []
    assert found.verdict.extra_canceled == 0


async def test_a_server_that_was_frozen_while_it_sent_cancels_what_it_makes(
    shared_site: Site,
) -> None:
    # One that is not woken within its own deadline for the create sends nothing more.
    for _ in range(FREEZES):
        found = await freeze_holder(shared_site, SENDING, times=1)

        assert found.verdict.damage == []
        if found.verdict.extra_canceled:
            break
    else:
        pytest.fail("it made nothing that it had to cancel")


async def test_backups_beside_killed_servers_have_what_was_promised_before_them(
    site: Site, runner: Runner, tmp_path: Path
) -> None:
    @asynccontextmanager
    async def empty(folder: Path) -> AsyncIterator[str]:
        yield f"sqlite:///{folder / 'restored.db'}"

    found = await back_up_while_killing(
        site, runner, tmp_path, empty, kills=2, longest_pause=1, restores=1, every=0.5
    )

    assert found.verdict.damage == []
    assert found.done["backups"] >= found.done["restored"] > 0


async def test_a_copy_that_is_killed_goes_on_and_ends_equal(
    tmp_path: Path, postgres_url: str
) -> None:
    found = await copy_there_and_back(tmp_path, postgres_url, runs=600, kills=1)

    assert found.verdict.faults == []
    assert found.done["copies"] == 2
    assert found.kills > 0
