"""
Demo mode: two users with well-known passwords, on loopback addresses only.

They have no password in the database, and their access tokens are refused outside demo
mode.
"""

from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from llamakeep.api.http.problems import render_http_error
from llamakeep.credentials.demo import ACCESS_TOKENS, FOR_EVER
from llamakeep.credentials.tokens import digest
from llamakeep.errors import InvalidRequest, ServerError, StorageUnavailable
from llamakeep.http.visitors import refusal_of
from llamakeep.storage import Storage


class LoopbackOnly:
    """
    Responds with 403 to requests that did not come to a loopback address and name.

    It checks each connection, since an application does not know where its server
    listens. Pages of `origins` may call the server, too.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str] = ()) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward requests to a loopback address."""
        detail = self._refusal(scope) if scope["type"] == "http" else None
        if detail is None:
            await self._app(scope, receive, send)
            return
        refusal = HTTPException(HTTPStatus.FORBIDDEN, detail)
        response = await render_http_error(Request(scope), refusal)
        await response(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        server = scope.get("server")
        if server is not None and not _is_inside(server[0]):
            return (
                "Demo mode has well-known passwords, so it answers on loopback "
                "addresses only. Unset LLAMAKEEP_DEMO to serve others."
            )
        # Tests and embedding code call the application with a host name of their own.
        hosts = () if server is None else (server[0],)
        wrong = refusal_of(scope["headers"], hosts=hosts, origins=self._origins)
        if wrong is None:
            return None
        return (
            "Demo mode has well-known passwords, so it answers on localhost, 127.0.0.1 "
            f"and [::1] only, and not {wrong}. Name the origins of other pages in "
            "LLAMAKEEP_CORS_ORIGINS, or unset LLAMAKEEP_DEMO to serve others."
        )


@lru_cache(maxsize=64)  # called for every request
def _is_inside(server: str) -> bool:
    try:
        return ip_address(server).is_loopback
    except ValueError:  # a Unix socket's path
        return True


async def add_demo_users(storage: Storage) -> None:
    """
    Create the demo users and their access tokens.

    Raises:
        ServerError: The database has a real user of that name.
    """
    for access_token, username in ACCESS_TOKENS.items():
        known = await storage.find_credentials(username)
        if known is None:
            with suppress(InvalidRequest):  # another server has created it meanwhile
                await storage.add_user(username, None)
            known = await storage.find_credentials(username)
        assert known is not None
        is_real = known.password_hash is not None or known.user.is_service
        if is_real or await storage.has_identity(known.user):
            raise _demo_refused(username)
        await storage.add_access_token(
            known.user, digest(access_token), lifetime=FOR_EVER
        )


def _demo_refused(username: str) -> ServerError:
    return StorageUnavailable(
        f"Demo mode would open the account of a real user, {username!r}. Give it a "
        "database of its own: LLAMAKEEP_DATABASE_URL=sqlite:///demo.db."
    )
