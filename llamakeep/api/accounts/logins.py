"""Where a user is logged in, and ending it there."""

from typing import Annotated, Literal, Self

from fastapi import Path, Request
from pydantic import AwareDatetime

from llamakeep.api.dependencies import LoggedInUser, actor_of, presented
from llamakeep.api.http.login_cookies import take_cookie
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.credentials.tokens import digest
from llamakeep.domain import Login, derived_id
from llamakeep.errors import LoginNotFound, ScopeMissing, Unauthenticated
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of
from llamakeep.storage.accounts.logins import LOGIN

router = Router(prefix="/me/logins", tags=["login"])


class LoginEntry(Body):
    """A login of yours."""

    id: str
    kind: Literal["token", "cookie"]
    """What keeps it: a program that got a token, or a browser with a cookie."""
    created_at: AwareDatetime
    expires_at: AwareDatetime
    last_used_at: AwareDatetime | None
    """To within an hour, as a rule; `null` for a token, whose use is not noted."""
    address: str | None
    """From where you logged in, as long as the audit log says so; else `null`."""
    user_agent: str | None
    current: bool
    """Whether this request came with it."""

    @classmethod
    def of(cls, login: Login, /, *, current_id: str) -> Self:
        """Return the body for `login`."""
        return cls(
            id=login.id,
            kind="cookie" if login.is_cookie else "token",
            created_at=login.created_at,
            expires_at=login.expires_at,
            last_used_at=login.last_used_at,
            address=login.address,
            user_agent=login.user_agent,
            current=login.id == current_id,
        )


class LoginsResponse(Body):
    """Your logins, the last used first; at most 200."""

    logins: list[LoginEntry]


@router.get("/", responses=problem_responses(Unauthenticated, ScopeMissing))
async def list_logins(request: Request, user: LoggedInUser) -> LoginsResponse:
    """List where you are logged in, with browsers and with access tokens."""
    found = await services_of(request).storage.list_logins(user)
    current_id = _current_id(request)
    return LoginsResponse(
        logins=[LoginEntry.of(login, current_id=current_id) for login in found]
    )


@router.delete(
    "/{login_id}",
    status_code=204,
    responses=problem_responses(Unauthenticated, ScopeMissing, LoginNotFound),
)
async def end_login(
    login_id: Annotated[str, Path(max_length=64)], request: Request, user: LoggedInUser
) -> None:
    """Log out there, from the next request on; API keys stay valid."""
    storage = services_of(request).storage
    await storage.end_login(user, login_id, actor_of(request, user))
    if login_id == _current_id(request):
        take_cookie(request)


def _current_id(request: Request) -> str:
    return derived_id(LOGIN, digest(presented(request)))
