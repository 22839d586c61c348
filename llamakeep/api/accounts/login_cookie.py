"""Logging in with a cookie, for pages of this server."""

from fastapi import Depends, Request

from llamakeep.api.accounts.login import REFUSALS, LoginRequest, log_in
from llamakeep.api.http.login_cookies import give_cookie
from llamakeep.api.http.origins import check_origin
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.errors import OriginRefused

router = Router(tags=["login"])


async def sent_by_own_page(request: Request) -> None:
    """Refuse a request that no page of this server's own has sent."""
    check_origin(request)


@router.post(
    "/login/cookie/",
    status_code=204,
    dependencies=[Depends(sent_by_own_page)],
    responses=problem_responses(*REFUSALS, OriginRefused),
)
async def login_with_cookie(body: LoginRequest, request: Request) -> None:
    """
    Exchange a username and a password for a cookie, which no script can read.

    It is for pages of this server's own: requests with it have to come from there, as
    their `Origin` says. A request that carries an access token or an API key as well
    goes by that.
    """
    access_token, _, lifetime = await log_in(body, request, is_cookie=True)
    give_cookie(request, access_token, lifetime)
