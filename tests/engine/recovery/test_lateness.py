"""Whether a process was frozen for so long that another one may have its run."""

from dataclasses import replace
from datetime import timedelta

import pytest

from llamakeep.domain import User, utc_now
from llamakeep.engine.recovery.lateness import claimed_at, lateness
from tests.storage.running import new_run

LEASE = 30


@pytest.mark.parametrize(
    ("frozen_before", "frozen_after", "is_late"),
    [
        (0, 0, False),
        (0, 20, False),
        (0, 23, True),
        (23, 0, True),
        (12, 12, True),
        (-3600, 0, False),  # the clock went back
        (-3600, 23, True),
    ],
)
def test_a_run_that_was_claimed_long_ago_is_not_begun(
    frozen_before: float, frozen_after: float, is_late: bool
) -> None:
    user = User("user_1", "alice", utc_now())
    started_at = utc_now() - timedelta(seconds=frozen_before)
    run = replace(new_run(user), started_at=started_at)
    now = [1000.0]
    look = lateness(LEASE, claimed_at(run, clock=lambda: now[0]), clock=lambda: now[0])

    now[0] += frozen_after

    assert look() is is_late


@pytest.mark.parametrize(("frozen", "is_late"), [(22, False), (23, True)])
def test_a_lease_counts_from_when_it_was_asked_for(
    frozen: float, is_late: bool
) -> None:
    assert lateness(LEASE, 1000, clock=lambda: 1000 + frozen)() is is_late
