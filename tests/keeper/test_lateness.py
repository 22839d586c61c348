"""Whether a process was frozen for so long that another one may have its run."""

from dataclasses import replace
from datetime import timedelta

import pytest

from llamakeep.domain import User, utc_now
from llamakeep.keeper.reattaching import lateness, never_late
from llamakeep.providers.base import CompletionRequest
from llamakeep.storage import Storage
from tests.storage.running import start

REQUEST = CompletionRequest(run_id="run_0", attempt=1, model="parrot", messages=())


@pytest.mark.parametrize(
    ("frozen", "seconds_since_claim", "request_", "is_late"),
    [
        (0, 0, REQUEST, False),
        (20, 0, REQUEST, False),
        (23, 0, REQUEST, True),
        (0, 23, REQUEST, True),
        (0, -3600, REQUEST, False),  # the clock went back
        (0, 23, replace(REQUEST, attempt=2), False),
        (0, 23, replace(REQUEST, is_late=never_late), False),
        (23, 0, replace(REQUEST, is_late=never_late), True),
    ],
)
async def test_a_run_that_was_claimed_long_ago_is_not_begun(  # noqa: PLR0917 - names
    storage: Storage,
    alice: User,
    frozen: float,
    seconds_since_claim: float,
    request_: CompletionRequest,
    is_late: bool,
) -> None:
    run = await start(storage, alice)
    run = replace(run, started_at=utc_now() - timedelta(seconds=seconds_since_claim))
    now = [1000.0]
    look = lateness(30, run, request_, clock=lambda: now[0])

    now[0] += frozen

    assert look() is is_late
