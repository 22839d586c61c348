"""`GET /admin/audit`: what happened to accounts."""

from typing import Annotated, Self

from fastapi import Query, Request
from pydantic import AwareDatetime

from llamakeep.api.dependencies import AdminUser
from llamakeep.api.history.filters import Moment
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.domain import AuditEvent, AuditKind
from llamakeep.errors import AdminOnly, InvalidRequest, ScopeMissing, Unauthenticated
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.text import Text
from llamakeep.services import services_of
from llamakeep.storage.accounts.audit import AuditFilter

router = Router(prefix="/admin", tags=["admin"])

SomeId = Annotated[Text | None, Query(max_length=64)]


class AuditEntry(Body):
    """An entry of the audit log."""

    id: str
    at: AwareDatetime
    kind: AuditKind
    user_id: str | None
    """The account; `null` for a login with an unknown username."""
    username: str | None
    actor_id: str | None
    """The user who did it; `null` if not logged in, or on the command line."""
    actor_username: str | None
    api_key_id: str | None
    """The API key that was used."""
    detail: str | None
    address: str | None
    user_agent: str | None

    @classmethod
    def of(cls, event: AuditEvent, /) -> Self:
        """Return the body for `event`."""
        return cls.model_validate(event, from_attributes=True)


class AuditResponse(Body):
    """A page of the audit log, newest first."""

    events: list[AuditEntry]
    next_cursor: str | None
    """Send it as `cursor` to get the page after this one; `null` on the last page."""


@router.get(
    "/audit",
    responses=problem_responses(
        Unauthenticated, AdminOnly, ScopeMissing, InvalidRequest
    ),
)
async def audit(
    request: Request,
    admin: AdminUser,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^event_[0-9a-z]{26}$")] = None,
    kind: AuditKind | None = None,
    user_id: SomeId = None,
    actor_id: SomeId = None,
    api_key_id: SomeId = None,
    since: Moment | None = None,
    until: Annotated[Moment | None, Query(description="Exclusive.")] = None,
) -> AuditResponse:
    """List the audit log of the last year, newest first, or what the filters match."""
    matching = AuditFilter(
        kind=kind,
        user_id=user_id,
        actor_id=actor_id,
        api_key_id=api_key_id,
        since=since,
        until=until,
    )
    events = await services_of(request).storage.audit(
        matching, before=cursor, limit=limit + 1
    )
    page = events[:limit]
    return AuditResponse(
        events=[AuditEntry.of(event) for event in page],
        next_cursor=page[-1].id if len(events) > limit else None,
    )
