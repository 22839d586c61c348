"""
The application that other nodes reach: it has nothing for clients.

A request is signed with this node's secret, which is in the database, and so is the
answer; see `llamakeep.nodes.signing`.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llamakeep.api.http.streaming import Streaming
from llamakeep.engine import Engine
from llamakeep.nodes.changes import changes_of
from llamakeep.nodes.lines import lines_of
from llamakeep.nodes.signing import (
    DIGEST,
    NONCE,
    PROOF,
    SIGNATURE,
    digest_of,
    is_equal,
    proof,
    signed,
)

LINES = "application/x-ndjson"
LONGEST_BODY = 4 * 1024 * 1024
"""Bytes; it has the ids of the users whose runs are listened to at another node."""

Endpoint = Callable[[Request, bytes], Awaitable[Response]]
"""Responds to a request that was proved to be another node's, and its body."""


def create_node_app(engine: Engine, secret: str) -> Starlette:
    """Create the application of a node."""

    def route(path: str, method: str, endpoint: Endpoint) -> Route:
        async def checked(request: Request) -> Response:
            body = await _body_of(request, secret)
            if isinstance(body, HTTPStatus):
                raise HTTPException(body)
            response = await endpoint(request, body)
            response.headers[PROOF] = proof(secret, request.headers[NONCE])
            return response

        return Route(path, checked, methods=[method])

    async def follow(request: Request, _: bytes) -> Response:
        live = engine.live.get(request.path_params["run_id"])
        if live is None or live.is_over or not live.is_stored:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        return Streaming(lines_of(live), media_type=LINES)

    async def look_for_cancels(*_: object) -> Response:
        await engine.recovery.renew()
        return Response()

    async def tell_changes(_: Request, body: bytes) -> Response:
        users = from_json(body)
        return Streaming(changes_of(engine.feeds, users), media_type=LINES)

    return Starlette(
        routes=[
            route("/changes", "POST", tell_changes),
            route("/runs/{run_id}", "GET", follow),
            route("/cancels", "POST", look_for_cancels),
        ],
        exception_handlers={HTTPException: _refuse},
    )


async def _refuse(_: Request, error: Exception) -> Response:
    """Have no further request of a stranger on the same connection."""
    assert isinstance(error, HTTPException)
    return Response(status_code=error.status_code, headers={"connection": "close"})


async def _body_of(request: Request, secret: str) -> bytes | HTTPStatus:
    """Return the body of a request that another node signed, else why it is refused."""
    nonce, given, digest = (
        request.headers.get(name, "") for name in (NONCE, SIGNATURE, DIGEST)
    )
    wanted = signed(secret, request.method, request.url.path, nonce, digest)
    if not (nonce and is_equal(given, wanted)):
        return HTTPStatus.UNAUTHORIZED  # before anything is kept of its body
    if (known := getattr(request.state, "known", None)) is not None:
        known()  # as a node's, by the port; see `llamakeep.server.tls_port`
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST_BODY:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return body if is_equal(digest, digest_of(body)) else HTTPStatus.UNAUTHORIZED
