"""How many prompts an end user may send."""

import asyncio
from datetime import timedelta

from llamakeep.domain import Run, User, utc_now
from llamakeep.domain.quotas import Quota
from llamakeep.errors import QuotaExceeded
from llamakeep.storage import Storage
from tests.storage.running import new_run


async def test_prompts_at_once_do_not_overrun_the_limit_of_an_end_user(
    storage: Storage, alice: User
) -> None:
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    quota = Quota(
        id=f"{alice.id}:{today:%Y-%m-%d}",
        name="end_user_prompts_per_day",
        whose="user",
        unit="prompts",
        limit=3,
        user_id=alice.id,
        end_user="4711",
        begins_at=today,
        ends_at=today + timedelta(days=1),
    )

    async def accept() -> Run:
        run = new_run(alice, end_user="4711")
        return await storage.accept(run, node="node_1", quotas=[quota])

    found = await asyncio.gather(*(accept() for _ in range(10)), return_exceptions=True)

    refusals = [one for one in found if isinstance(one, QuotaExceeded)]
    assert len(refusals) == 7
    assert len(await storage.history(alice)) == 3
