"""Signing in through an OpenID Connect provider or a proxy, for the page."""

import logging
from datetime import timedelta
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from llamakeep.api.accounts.login_cookie import sent_by_own_page
from llamakeep.api.accounts.passwords import Secret
from llamakeep.api.dependencies import actor_of
from llamakeep.api.http.links import origin_of, prefix_of
from llamakeep.api.http.login_cookies import give_cookie
from llamakeep.api.http.problems import problem_responses, render_error
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.http.sign_in_cookies import is_secure, keep_flow, read_flow
from llamakeep.api.middleware.forwarded import PROXY_USER
from llamakeep.credentials.tokens import digest, new_access_token
from llamakeep.domain import User
from llamakeep.errors import (
    BodyTooLarge,
    CountsUnavailable,
    InvitationRefused,
    LlamaKeepError,
    MalformedBody,
    OriginRefused,
    PathNotFound,
    RateLimited,
    SignInRefused,
    SignInUnavailable,
    StorageUnavailable,
)
from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.json_text import JsonResponse
from llamakeep.services import services_of
from llamakeep.sign_in import LONGEST_FLOW, Flow
from llamakeep.sign_in.people import username_of

if TYPE_CHECKING:
    from llamakeep.sign_in.oidc import OpenIdConnect

router = Router(tags=["login"], queries=Queries.ANY)
"""Providers add parameters of their own."""
proxies = Router(tags=["login"])
invited = Router(tags=["login"])

PROXY = "proxy"
"""The issuer of identities from a proxy; a provider's issuer is a URL."""

LONGEST = 4096
"""Characters of a code or a state."""

Given = Annotated[str | None, Query(max_length=LONGEST)]

log = logging.getLogger(__name__)

_SHOWN = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sign-in · llamakeep</title>
<h1>{title}</h1>
<p>{detail}</p>
<p><a href="{page}">Back to the log-in</a></p>
</html>
"""

_refusals = (
    PathNotFound,
    SignInUnavailable,
    RateLimited,
    CountsUnavailable,
    StorageUnavailable,
)
_redirects: dict[int | str, dict[str, str]] = {303: {"description": "Go on there."}}


@router.get(
    "/login/oidc/",
    status_code=303,
    response_class=Response,
    responses=problem_responses(*_refusals) | _redirects,
)
async def begin_sign_in(request: Request) -> Response:
    """Begin to sign in: send a browser to the identity provider."""
    provider = _provider(request)
    try:
        url, flow = await provider.begin(_redirect_uri(request))
    except SignInUnavailable as error:
        return await _refusal(request, error)
    response = RedirectResponse(url, HTTPStatus.SEE_OTHER)
    keep_flow(request, response, flow.cookie, LONGEST_FLOW)
    return response


class InvitedSignIn(Form):
    """An invitation, by which a new user signs in."""

    token: Secret
    """The invitation's, from an administrator."""


class SignInAddress(Body):
    """Where a browser signs in."""

    url: str


@invited.post(
    "/login/oidc/",
    response_model=SignInAddress,
    dependencies=[Depends(sent_by_own_page)],
    responses=problem_responses(
        InvitationRefused, MalformedBody, BodyTooLarge, OriginRefused, *_refusals
    ),
)
async def begin_invited_sign_in(body: InvitedSignIn, request: Request) -> Response:
    """
    Begin to sign in by an invitation, for pages of this server's own.

    A new user who comes back from the identity provider has the invitation's role and
    limits, and it is used. The provider's rules count as well.
    """
    provider = _provider(request)
    await services_of(request).storage.check_invitation(digest(body.token))
    try:
        url, flow = await provider.begin(_redirect_uri(request), body.token)
    except SignInUnavailable as error:
        return await _refusal(request, error)
    response = JsonResponse(SignInAddress(url=url).model_dump())
    keep_flow(request, response, flow.cookie, LONGEST_FLOW)
    return response


@router.get(
    "/login/oidc/callback",
    status_code=303,
    response_class=Response,
    responses=problem_responses(SignInRefused, *_refusals) | _redirects,
)
async def finish_sign_in(
    request: Request,
    code: Given = None,
    state: Given = None,
    iss: Given = None,
    error: Given = None,
) -> Response:
    """
    Finish signing in: the identity provider sends a browser here, with a code.

    It gets a login cookie as of `POST /login/cookie/`, which is not extended by its
    use: after its lifetime, the provider decides again.
    """
    provider = _provider(request)
    services = services_of(request)
    try:
        if error is not None:
            raise SignInRefused(  # noqa: TRY301 - answered as the others are
                "The identity provider did not sign you in. Begin again.",
                reason=f"the provider says {error[:100]!r}",
            )
        flow = Flow.read(read_flow(request))
        person = await provider.finish(
            flow,
            code=code,
            state=state,
            issuer=iss,
            redirect_uri=_redirect_uri(request),
        )
        user = await services.storage.user_of_identity(
            person.issuer,
            person.subject,
            name=person.name,
            role=person.role,
            invitation=digest(flow.invitation) if flow and flow.invitation else None,
            actor=actor_of(request),
        )
    except (SignInRefused, SignInUnavailable) as refusal:
        if isinstance(refusal, SignInRefused) and refusal.subject is not None:
            issuer = str(services.settings.oidc_issuer)
            await services.storage.log_out_identity(issuer, refusal.subject)
        return await _refusal(request, refusal)
    except InvitationRefused as used:
        refused = SignInRefused(used.detail, reason="the invitation is not valid")
        return await _refusal(request, refused)
    response = await _log_in(request, user)
    keep_flow(request, response, "", 0)
    return response


@proxies.get(
    "/login/proxy/",
    status_code=303,
    response_class=Response,
    responses=problem_responses(SignInRefused, PathNotFound, StorageUnavailable)
    | _redirects,
)
async def sign_in_by_proxy(request: Request) -> Response:
    """
    Log a browser in as who has signed in at a trusted proxy in front.

    It gets a login cookie as of `GET /login/oidc/callback`.
    """
    user = request.scope.get(PROXY_USER)
    if not user:
        raise PathNotFound(
            "No trusted proxy says who has signed in. LLAMAKEEP_PROXY_USER_HEADER "
            "names the header and LLAMAKEEP_TRUSTED_PROXIES the proxy: see "
            "docs/deploy/sign-in.md."
        )
    try:
        found = await services_of(request).storage.user_of_identity(
            PROXY, user, name=username_of(user), role=None, actor=actor_of(request)
        )
    except SignInRefused as refusal:
        return await _refusal(request, refusal)
    return await _log_in(request, found)


router.routes.extend([*proxies.routes, *invited.routes])


async def _log_in(request: Request, user: User) -> Response:
    """Give the browser a login that its use does not extend, and the page."""
    services = services_of(request)
    access_token = new_access_token()
    lifetime = timedelta(seconds=services.settings.access_token_lifetime)
    await services.storage.add_access_token(
        user,
        digest(access_token),
        lifetime=lifetime,
        is_cookie=True,
        is_final=True,
        actor=actor_of(request, user),
    )
    give_cookie(request, access_token, lifetime, is_secure=is_secure(request))
    return RedirectResponse(f"{prefix_of(request)}/", HTTPStatus.SEE_OTHER)


def _provider(request: Request) -> "OpenIdConnect":
    provider = services_of(request).sign_in
    if provider is None:
        raise PathNotFound(
            "This server has no OpenID Connect provider; users log in with passwords. "
            "LLAMAKEEP_OIDC_ISSUER names one, see docs/deploy/sign-in.md."
        )
    return provider


def _redirect_uri(request: Request) -> str:
    return f"{origin_of(request)}/login/oidc/callback"


async def _refusal(
    request: Request, error: SignInRefused | SignInUnavailable
) -> Response:
    """Log why, and answer a browser with a page, and a program with a problem."""
    cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
    log.warning("sign-in failed: %s%s", error.reason, cause)
    error.__cause__ = None  # it is logged
    if isinstance(error, SignInRefused):
        storage = services_of(request).storage
        await storage.add_failed_login(None, actor_of(request))
    if "text/html" not in request.headers.get("accept", ""):
        response = await render_error(request, error)
    else:
        response = _page(request, error)
    keep_flow(request, response, "", 0)
    return response


def _page(request: Request, error: LlamaKeepError) -> Response:
    content = _SHOWN.format(
        title=escape(error.title),
        detail=escape(error.detail),
        page=escape(f"{prefix_of(request)}/"),
    )
    return HTMLResponse(content, error.status)
