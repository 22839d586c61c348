"""`GET /history/stats`: runs, tokens, cost and latency by day, model, key, end user."""

from typing import Annotated, Self

from fastapi import Query, Request

from llamakeep.api.dependencies import ReadingUser
from llamakeep.api.history.filters import Matching
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.errors import InvalidRequest, ScopeMissing, Unauthenticated
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of
from llamakeep.storage.history.stats import MOST_END_USERS, Grouping, Stats

router = Router(prefix="/history", tags=["history"])


class Latency(Body):
    """
    Percentiles of the seconds from a prompt to the end of its response.

    `null` if there are no responses.
    """

    p50: float | None
    p90: float | None
    p99: float | None


class StatsItem(Body):
    """The sums of a group of runs."""

    group: str | None
    """
    The day in UTC, the model, the id of the API key (`null` for logins), or the end
    user (`null` for runs without one).
    """
    runs: int
    succeeded: int
    failed: int
    """Runs that ended without success; those in neither count are unfinished."""
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """US dollars, as far as prices are known."""
    latency: Latency

    @classmethod
    def of(cls, stats: Stats) -> Self:
        """Return the body for `stats`."""
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
    """
    All groups that have runs, the last one first.

    End users are in the order of their runs, the 1,000 with the most.
    """

    stats: list[StatsItem]
    has_more: bool
    """Whether there are more end users than these."""


@router.get(
    "/stats", responses=problem_responses(Unauthenticated, ScopeMissing, InvalidRequest)
)
async def history_stats(
    request: Request,
    user: ReadingUser,
    matching: Matching,
    by: Annotated[Grouping, Query(description="What to group runs by.")] = Grouping.DAY,
) -> StatsResponse:
    """Sum up your runs, or those that match the filters."""
    found = await services_of(request).storage.stats(user, matching, by=by)
    has_more = by is Grouping.END_USER and len(found) > MOST_END_USERS
    shown = found[:MOST_END_USERS] if has_more else found
    items = [StatsItem.of(each) for each in shown]
    return StatsResponse(stats=items, has_more=has_more)
