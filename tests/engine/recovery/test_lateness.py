"""Whether a process was frozen for so long that another one may have its runs."""

import pytest

from llamakeep.engine.recovery.lateness import Lateness

LEASE = 30


@pytest.mark.parametrize(
    ("renewed_after", "frozen", "is_late"),
    [(None, 0, True), (0, 22, False), (0, 23, True), (20, 22, False), (20, 23, True)],
)
def test_nothing_is_begun_long_after_the_lease_was_last_renewed(
    renewed_after: float | None, frozen: float, is_late: bool
) -> None:
    now = [1000.0]
    lateness = Lateness(LEASE, clock=lambda: now[0])
    if renewed_after is not None:
        lateness.renewed_at = now[0] = now[0] + renewed_after

    now[0] += frozen

    assert lateness.is_late() is is_late
