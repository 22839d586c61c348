"""Reading limits and their usage; setting users' limits."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from fastapi import Request
from pydantic import AwareDatetime, PlainSerializer, Strict

from llamakeep.api.accounts.admin import UserId
from llamakeep.api.dependencies import AdminUser, CurrentUser, actor_of
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.domain import Dollars, Limits, RunCount, Tokens, User, utc_now
from llamakeep.domain.limits import PromptCount
from llamakeep.domain.quotas import Count, Quota
from llamakeep.errors import (
    AdminOnly,
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    ScopeMissing,
    Unauthenticated,
    UserNotFound,
)
from llamakeep.schemas.bodies import Body, Form
from llamakeep.services import services_of

router = Router(tags=["limits"])

Money = Annotated[Dollars, PlainSerializer(float, return_type=float, when_used="json")]

_guarded = (Unauthenticated, AdminOnly, ScopeMissing, InvalidRequest)


class LimitsBody(Form):
    """Limits; one that is left out, or `null`, does not apply."""

    concurrent_runs: Annotated[RunCount, Strict()] | None = None
    """How many runs may be unfinished at the same time."""
    tokens_per_day: Annotated[Tokens, Strict()] | None = None
    """Tokens of prompts and responses together, from midnight to midnight in UTC."""
    tokens_per_month: Annotated[Tokens, Strict()] | None = None
    dollars_per_day: Money | None = None
    """US dollars; with such a limit, models of unknown price cannot be used."""
    dollars_per_month: Money | None = None
    end_user_prompts_per_day: Annotated[PromptCount, Strict()] | None = None
    """How many prompts each end user may send, if the request names one."""

    @classmethod
    def of(cls, limits: Limits | None, /) -> Self | None:
        """Return the body for `limits`, if there are any."""
        if limits is None:
            return None
        return cls.model_validate(limits, from_attributes=True)

    def limits(self) -> Limits | None:
        """Return the limits to store; `None` if none applies."""
        limits = Limits(**self.model_dump())
        return None if limits == Limits() else limits


class LimitResponse(Body):
    """One limit with its usage."""

    name: str
    """`concurrent_runs`, `tokens_per_day`, `dollars_per_month`, …"""
    whose: Literal["user", "api_key", "server", "upstream", "alias"]
    """Those of the last three are shared by all users."""
    subject: str | None
    """Which upstream or alias, if it is the limit of one."""
    limit: float
    used: float
    reserved: float
    """Reserved for unfinished runs; what they do not use is returned."""
    left: float
    resets_at: AwareDatetime | None
    """When its period starts again; `null` for `concurrent_runs`."""

    @classmethod
    def of(cls, quota: Quota, count: Count) -> Self:
        """Return the body for `quota`, of which `count` is used."""
        return cls(
            name=quota.name,
            whose=quota.whose,
            subject=quota.subject,
            limit=float(quota.limit),
            used=float(count.used(quota.unit)),
            reserved=float(count.reserved(quota.unit)),
            left=float(max(0, quota.left(count))),
            resets_at=quota.ends_at,
        )


class LimitsResponse(Body):
    """All limits that apply, with their usage."""

    limits: list[LimitResponse]


class UserLimitsResponse(LimitsResponse):
    """A user's limits, for administrators."""

    own: LimitsBody | None
    """The limits set for this user; the settings apply where it has none."""


@router.get("/me/limits", responses=problem_responses(Unauthenticated))
async def my_limits(request: Request, user: CurrentUser) -> LimitsResponse:
    """Return your limits and those of the request's API key, with their usage."""
    return LimitsResponse(limits=await _states(request, _quotas(request, user)))


@router.get("/admin/limits", responses=problem_responses(*_guarded))
async def server_limits(request: Request, admin: AdminUser) -> LimitsResponse:
    """Return the limits of all users together, of upstreams and of aliases."""
    quotas, now = services_of(request).engine.quotas, utc_now()
    shared = [*quotas.of_server(now), *quotas.of_all_upstreams(now)]
    return LimitsResponse(limits=await _states(request, shared))


@router.get(
    "/admin/users/{user_id}/limits",
    responses=problem_responses(*_guarded, UserNotFound),
)
async def user_limits(
    user_id: UserId, request: Request, admin: AdminUser
) -> UserLimitsResponse:
    """Return a user's limits, with their usage."""
    return await _of_user(request, await services_of(request).storage.get_user(user_id))


@router.put(
    "/admin/users/{user_id}/limits",
    responses=problem_responses(*_guarded, UserNotFound, MalformedBody, BodyTooLarge),
)
async def set_user_limits(
    user_id: UserId, body: LimitsBody, request: Request, admin: AdminUser
) -> UserLimitsResponse:
    """
    Set a user's limits, from the next prompt on; for others, the settings apply.

    Earlier usage in the period counts, even if there was no limit then.
    """
    user = await services_of(request).storage.set_limits(
        user_id, body.limits(), actor=actor_of(request, admin)
    )
    return await _of_user(request, user)


def _quotas(request: Request, user: User) -> Sequence[Quota]:
    return services_of(request).engine.quotas.of(user)


async def _of_user(request: Request, user: User) -> UserLimitsResponse:
    return UserLimitsResponse(
        limits=await _states(request, _quotas(request, user)),
        own=LimitsBody.of(user.limits),
    )


async def _states(request: Request, quotas: Sequence[Quota]) -> list[LimitResponse]:
    counts = await services_of(request).storage.counts(quotas)
    return [
        LimitResponse.of(quota, count)
        for quota, count in zip(quotas, counts, strict=True)
    ]
