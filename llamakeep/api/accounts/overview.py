"""What administrators see of all users and providers: numbers, never texts."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import Query, Request, Response
from pydantic import AwareDatetime

from llamakeep.api.dependencies import AdminUser
from llamakeep.api.history.filters import Moment
from llamakeep.api.history.stats import StatsItem
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
from llamakeep.domain import RunStatus, utc_now
from llamakeep.domain.runs import Source
from llamakeep.engine.circuits import CircuitState
from llamakeep.engine.providers import RECENT, ProviderFigures
from llamakeep.errors import (
    AdminOnly,
    InvalidRequest,
    ScopeMissing,
    Unauthenticated,
    UserNotFound,
)
from llamakeep.providers.described import ProviderFacts, providers_described
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.text import Text
from llamakeep.services import services_of
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.stats import Grouping

router = Router(prefix="/admin", tags=["admin"])

STATS_PERIOD = timedelta(days=30)
"""What is summed up unless a client says since when."""

_responses = problem_responses(Unauthenticated, AdminOnly, ScopeMissing, InvalidRequest)

AllGrouping = Literal["user", "api_key", "end_user", "day", "model", "status", "source"]


class UserStatsItem(StatsItem):
    """The sums of a group of all users' runs."""

    username: str | None
    """With `by=user`; `null` otherwise, and of a user who was deleted meanwhile."""


class AllStatsResponse(Body):
    """The groups in the order of `/history/stats`."""

    stats: list[UserStatsItem]
    has_more: bool
    """Whether there are more groups than these."""
    since: AwareDatetime
    """Runs from then on are summed up."""


@router.get(
    "/stats",
    response_model=AllStatsResponse,
    responses=_responses | problem_responses(UserNotFound) | CSV,
)
async def stats_of_all(
    request: Request,
    admin: AdminUser,
    by: Annotated[
        list[AllGrouping] | None,
        Query(
            max_length=MOST_FACTS,
            description="What to group runs by: `user`, unless it is given; more than "
            "once for several facts.",
        ),
    ] = None,
    user_id: Annotated[Text | None, Query(max_length=64)] = None,
    model: Annotated[
        Text | None, Query(max_length=300, description="With its provider, or without.")
    ] = None,
    status: RunStatus | None = None,
    source: Source | None = None,
    since: Annotated[
        Moment | None, Query(description="30 days ago, unless it is given.")
    ] = None,
    until: Annotated[Moment | None, Query(description="Exclusive.")] = None,
    format: Format = None,  # noqa: A002 - the field
) -> AllStatsResponse | Response:
    """
    Sum up the runs of all users, as JSON or CSV.

    How many, tokens, cost and times, and no text.
    """
    storage = services_of(request).storage
    groupings = [Grouping(each) for each in dict.fromkeys(by or ["user"])]
    begin = since or utc_now() - STATS_PERIOD
    matching = RunFilter(
        model=model,
        statuses=set() if status is None else {status},
        source=source,
        since=begin,
        until=until,
    )
    user = None if user_id is None else await storage.get_user(user_id)
    is_csv = wants_csv(request, format)
    most = MOST_ROWS if is_csv else None
    found, has_more = await storage.stats(user, matching, by=groupings, most=most)
    groups = [dict(zip(groupings, each.groups, strict=True)) for each in found]
    user_ids = [each.get(Grouping.USER) or "" for each in groups]
    names = await storage.usernames(filter(None, user_ids))
    if is_csv:
        is_named = Grouping.USER in groupings
        usernames = names if is_named else None
        return stats_csv(found, groupings, has_more=has_more, usernames=usernames)
    items = [StatsItem.of(each, groupings) for each in found]
    return AllStatsResponse(
        stats=[
            UserStatsItem(**dict(item), username=names.get(each))
            for item, each in zip(items, user_ids, strict=True)
        ],
        has_more=has_more,
        since=begin,
    )


class CircuitResponse(Body):
    """A circuit breaker that is not closed."""

    model: str | None
    """`null` if it stands before all of the provider's models."""
    state: Literal["open", "half-open"]
    """Half open: the next run is sent, and closes or opens it."""
    until: AwareDatetime | None
    """Until when it is open; `null` if it is half open."""
    failures: int
    """In a row."""
    error: str | None
    """The code of the problem that opened it."""


class EndsResponse(Body):
    """How runs ended that were accepted in the last ten minutes, on all servers."""

    minutes: int
    succeeded: int
    failed: int


class FailureResponse(Body):
    """The newest run of the last day that failed; its texts are its user's."""

    type: str | None
    """The code of the problem, such as `provider-timeout`."""
    at: AwareDatetime | None


class ProviderResponse(Body):
    """A configured provider."""

    name: str
    default_model: str | None
    """`null` if it has none, or could not be asked."""
    is_default: bool
    """Whether it answers prompts that name no model."""
    running: int
    """Runs that it is answering, on all servers of the database."""
    waiting: int
    """Runs that wait for their turn or for the provider."""
    state: Literal["closed", "half-open", "open", "unreachable"]
    """
    Of the circuit breaker before all of its models. Unreachable: the process that
    answers this request could not connect to it a moment ago.
    """
    parallel: int | None
    """How many runs each process may have there at once; `null` without a bound."""
    circuits: list[CircuitResponse]
    """
    Circuit breakers that are not closed. Those before a single model are as the process
    knows them that answers this request.
    """
    process: Literal["running", "not-running"] | None
    """Of the embedded model, which starts with the first prompt; else `null`."""
    last_failure: FailureResponse | None
    recent: EndsResponse
    cost_today_usd: float
    """What runs cost that were accepted since midnight in UTC, where it is known."""
    cost_this_month_usd: float


class ProvidersResponse(Body):
    """The configured providers, the preferred one first."""

    providers: list[ProviderResponse]
    roles: dict[str, list[str]]
    """
    The only models and aliases that users of a role may ask, as `[roles]` of
    `llamakeep.toml` says. A role that is not there may ask all.
    """


@router.get("/providers/", responses=_responses)
async def providers(request: Request, admin: AdminUser) -> ProvidersResponse:
    """List the providers: what they are doing, and which of them are not asked now."""
    services = services_of(request)
    registry, circuits = services.registry, services.engine.circuits
    default = (await registry.default_name() or "").partition(":")[0]
    described = await providers_described(registry)
    figures = await services.figures.read([each.name for each in described])
    states = circuits.states()
    return ProvidersResponse(
        providers=[
            _shown(
                each,
                figures[each.name],
                [one for one in states if one.provider == each.name],
                parallel=registry.facts(each.name).parallel,
                is_default=each.name == default,
                is_unreachable=circuits.is_unreachable(each.name),
            )
            for each in described
        ],
        roles={role: sorted(models) for role, models in registry.roles.items()},
    )


def _shown(
    provider: ProviderFacts,
    figures: ProviderFigures,
    circuits: Sequence[CircuitState],
    *,
    parallel: int | None,
    is_default: bool,
    is_unreachable: bool,
) -> ProviderResponse:
    load, recent = figures.load, figures.recent
    failure = load.last_failure
    shown = [_shown_circuit(each) for each in circuits]
    of_all = [each.state for each in shown if each.model is None]
    state: Literal["closed", "half-open", "open", "unreachable"]
    state = of_all[0] if of_all else "unreachable" if is_unreachable else "closed"
    process: Literal["running", "not-running"] | None = None
    if provider.is_running is not None:
        process = "running" if provider.is_running else "not-running"
    return ProviderResponse(
        name=provider.name,
        default_model=provider.default_model,
        is_default=is_default,
        running=load.running,
        waiting=load.waiting,
        state=state,
        parallel=parallel,
        circuits=shown,
        process=process,
        last_failure=None
        if failure is None
        else FailureResponse(type=failure.error_code, at=failure.at),
        recent=EndsResponse(
            minutes=round(RECENT.total_seconds() / 60),
            succeeded=recent.succeeded,
            failed=recent.failed,
        ),
        cost_today_usd=float(figures.cost_today),
        cost_this_month_usd=float(figures.cost_this_month),
    )


def _shown_circuit(circuit: CircuitState) -> CircuitResponse:
    left = circuit.seconds_left
    return CircuitResponse(
        model=circuit.model,
        state="open" if left > 0 else "half-open",
        until=utc_now() + timedelta(seconds=left) if left > 0 else None,
        failures=circuit.failures,
        error=circuit.error_code,
    )
