"""`GET /history/stats`: runs, tokens, cost and latency, by some facts."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from fastapi import Query, Request, Response

from llamakeep.api.dependencies import ReadingUser
from llamakeep.api.history.filters import Matching
from llamakeep.api.history.stats_csv import (
    CSV,
    MOST_FACTS,
    MOST_ROWS,
    Format,
    stats_csv,
    wants_csv,
)
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.errors import InvalidRequest, ScopeMissing, Unauthenticated
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of
from llamakeep.storage.history.stats import Grouping, Stats

router = Router(prefix="/history", tags=["history"])


OwnGrouping = Literal["day", "model", "api_key", "end_user", "status", "source", "tag"]


class Latency(Body):
    """Percentiles of seconds in which prompts were answered; `null` without any."""

    p50: float | None
    p90: float | None
    p99: float | None


class StatsItem(Body):
    """The sums of a group of runs."""

    group: str | None
    """
    Of the first grouping: the day in UTC, the model, the id of the API key (`null` for
    logins), the end user, the status, the source or the tag (`null` without one).
    """
    groups: dict[Grouping, str | None]
    """The same of each grouping, by its name."""
    runs: int
    succeeded: int
    failed: int
    """Runs that ended without success; those in neither count are unfinished."""
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """US dollars, as far as prices are known."""
    unpriced: int
    """Runs that were answered, or that took tokens, whose cost is not known."""
    latency: Latency
    """From a prompt to the end of its response."""
    first_word: Latency
    """
    From a prompt to the beginning of its response, where that is known; with
    `first_words` only.
    """

    @classmethod
    def of(cls, stats: Stats, by: Sequence[Grouping]) -> Self:
        """Return the body for `stats`, which are grouped by `by`."""
        return cls(
            group=stats.groups[0],
            groups=dict(zip(by, stats.groups, strict=True)),
            runs=stats.runs,
            succeeded=stats.succeeded,
            failed=stats.failed,
            input_tokens=stats.input_tokens,
            output_tokens=stats.output_tokens,
            cost_usd=float(stats.cost),
            unpriced=stats.unpriced,
            latency=Latency(
                p50=stats.latency_p50, p90=stats.latency_p90, p99=stats.latency_p99
            ),
            first_word=Latency(
                p50=stats.first_word_p50,
                p90=stats.first_word_p90,
                p99=stats.first_word_p99,
            ),
        )


class StatsResponse(Body):
    """
    All groups that have runs, the last one first.

    With days, these are the latest 5,000. Of end users, tags, and several groupings
    without days, they are the 1,000 with the most runs.
    """

    stats: list[StatsItem]
    has_more: bool
    """Whether there are more groups than these."""


@router.get(
    "/stats",
    response_model=StatsResponse,
    responses=problem_responses(Unauthenticated, ScopeMissing, InvalidRequest) | CSV,
)
async def history_stats(
    request: Request,
    user: ReadingUser,
    matching: Matching,
    by: Annotated[
        list[OwnGrouping] | None,
        Query(
            max_length=MOST_FACTS,
            description="What to group runs by: `day`, unless it is given; more than "
            "once for several facts.",
        ),
    ] = None,
    first_words: Annotated[
        bool,
        Query(
            description="Sum up the times to first words, too: it takes twice as long."
        ),
    ] = False,
    format: Format = None,  # noqa: A002 - the field
) -> StatsResponse | Response:
    """
    Sum up your runs, or those that match the filters, as JSON or CSV.

    A run that has several tags counts in the group of each, by `key` and `key:value`.
    """
    groupings = [Grouping(each) for each in dict.fromkeys(by or ["day"])]
    storage = services_of(request).storage
    is_csv = wants_csv(request, format)
    found, has_more = await storage.stats(
        user,
        matching,
        by=groupings,
        has_first_words=first_words,
        most=MOST_ROWS if is_csv else None,
    )
    if is_csv:
        return stats_csv(found, groupings, has_more=has_more)
    items = [StatsItem.of(each, groupings) for each in found]
    return StatsResponse(stats=items, has_more=has_more)
