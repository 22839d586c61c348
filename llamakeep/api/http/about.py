"""What there is to know of a server before a login, and of a proxy before it."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request, Response

from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.http.sse import encode
from llamakeep.api.http.streaming import Streaming
from llamakeep.api.middleware.forwarded import PROXY_USER
from llamakeep.api.prompts.events import HEADERS
from llamakeep.errors import StorageUnavailable
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.json_text import to_json
from llamakeep.services import services_of

router = Router(tags=["health"])

PAUSE = 0.5
"""Seconds between the two events with which a proxy is tried."""


class IdentityProvider(Body):
    """Who signs users of the page in."""

    name: str
    path: str
    """Where a browser goes to sign in, relative to the page."""


class About(Body):
    """This server, for clients that are not logged in."""

    version: str
    demo: bool
    """Whether it has two demonstration users, whose passwords are well known."""
    setup: bool
    """Whether the first administrator can be created, with the token it printed."""
    sign_in: IdentityProvider | None
    """Who signs users in beside passwords."""
    max_body_size: int
    """How many bytes a request may have."""
    max_images_size: int
    """How many bytes the images of a prompt may have on top of that."""


@router.get("/about/", responses=problem_responses(StorageUnavailable))
async def about(request: Request) -> About:
    """Return what there is to know without a login."""
    services = services_of(request)
    settings = services.settings
    is_offered = services.setup.token_digest is not None
    return About(
        version=request.app.version,
        demo=settings.demo,
        # Another process may have used the token.
        setup=is_offered and not await services.storage.has_users(),
        sign_in=_identity_provider(request),
        max_body_size=int(settings.max_body_size),
        max_images_size=int(settings.max_images_size),
    )


def _identity_provider(request: Request) -> IdentityProvider | None:
    """Return the proxy if it has authenticated the user, else the provider."""
    if user := request.scope.get(PROXY_USER):
        return IdentityProvider(name=user, path="login/proxy/")
    provider = services_of(request).sign_in
    if provider is None:
        return None
    return IdentityProvider(name=provider.name, path="login/oidc/")


@router.get(
    "/about/proxy",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def about_proxy(request: Request) -> Response:
    """
    Stream what reaches this server of a request, in two events half a second apart.

    `llamakeep check --url` looks at it: whether a proxy in between holds a stream back,
    and lets clients choose their `address`.
    """
    said = {
        "address": request.client.host if request.client else None,
        "scheme": request.scope["scheme"],
        "prefix": request.scope.get("prefix", ""),
    }

    async def pieces() -> AsyncIterator[bytes]:
        yield encode(to_json(said))
        await asyncio.sleep(PAUSE)
        yield encode(b"{}")

    return Streaming(pieces(), headers=HEADERS)
