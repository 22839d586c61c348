"""What a history comes to."""

from typing import Annotated, Self

from fastapi import Query, Request

from llamakeep.api.dependencies import ReadingUser, storage_of
from llamakeep.api.history.filters import Matching
from llamakeep.api.http.bodies import Body
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.errors import InvalidRequest, ScopeMissing, Unauthenticated
from llamakeep.storage.history.stats import Grouping, Stats

router = Router(prefix="/history", tags=["history"])


class Latency(Body):
    """
    Seconds from a prompt to the end of its answer.

    Half of the answers took no longer than `p50`; `null` where there was none.
    """

    p50: float | None
    p90: float | None
    p99: float | None


class StatsItem(Body):
    """What the runs of a group come to."""

    group: str | None
    """The day in UTC, the model, or the id of the API key; `null` for logins."""
    runs: int
    succeeded: int
    failed: int
    """All that ended otherwise; the rest goes on."""
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """US dollars, as far as prices are known."""
    latency: Latency

    @classmethod
    def of(cls, stats: Stats) -> Self:
        """Return how `stats` look to clients."""
        return cls(
            group=stats.group,
            runs=stats.runs,
            succeeded=stats.succeeded,
            failed=stats.failed,
            input_tokens=stats.input_tokens,
            output_tokens=stats.output_tokens,
            cost_usd=float(stats.cost),
            latency=Latency(
                p50=stats.latency_p50, p90=stats.latency_p90, p99=stats.latency_p99
            ),
        )


class StatsResponse(Body):
    """Every group that has runs, from the last one on."""

    stats: list[StatsItem]


@router.get(
    "/stats", responses=problem_responses(Unauthenticated, ScopeMissing, InvalidRequest)
)
async def history_stats(
    request: Request,
    user: ReadingUser,
    matching: Matching,
    by: Annotated[
        Grouping, Query(description="What the runs of a group have in common.")
    ] = Grouping.DAY,
) -> StatsResponse:
    """Sum up what you asked: all of it, or what the filters let through."""
    found = await storage_of(request).stats(user, matching, by=by)
    return StatsResponse(stats=[StatsItem.of(each) for each in found])
