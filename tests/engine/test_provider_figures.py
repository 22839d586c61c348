"""What providers cost, as administrators see it, however long the history is."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from llamakeep.domain import Run, RunStatus, Usage, User, utc_now
from llamakeep.engine import providers
from llamakeep.engine.providers import Figures
from llamakeep.storage import Storage
from tests.storage.running import ended, start


@pytest.fixture(autouse=True)
def nothing_is_shown_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "CACHED", 0)
    monkeypatch.setattr(providers, "SETTLING", timedelta(0))
    now = utc_now() + timedelta(seconds=1)
    monkeypatch.setattr(providers, "utc_now", lambda: now)


async def finish(storage: Storage, run: Run, dollars: int) -> None:
    paid = Usage(input_tokens=7, output_tokens=3, cost=Decimal(dollars))
    await storage.finish(replace(ended(run, RunStatus.SUCCEEDED), usage=paid))


async def test_what_has_ended_is_summed_up_once_and_what_goes_on_when_it_ends(
    storage: Storage, alice: User
) -> None:
    figures = Figures(storage)

    async def costs() -> list[float]:
        found = (await figures.read(["scripted"]))["scripted"]
        return [float(found.cost_today), float(found.cost_this_month)]

    early, long, late = [await start(storage, alice) for _ in range(3)]
    await finish(storage, early, 1)
    await finish(storage, late, 2)
    both = await costs()
    for run in (early, late):
        await storage.delete_run(alice, run.id)
    kept = await costs()
    await finish(storage, long, 4)

    assert both == [3, 3]
    assert kept == [1, 1]  # what came after an unfinished one was read again
    assert await costs() == [5, 5]
