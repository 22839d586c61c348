"""Puts the emulator together."""

import re
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from llamakeep.http.methods import HeadAndOptions
from llamakeep.http.visitors import refusal_of
from llamakeep.providers.base import Provider
from replicate_emulator.connections import LostResponse
from replicate_emulator.core import Emulator
from replicate_emulator.routes import account as account_routes
from replicate_emulator.routes import control
from replicate_emulator.routes import predictions as prediction_routes
from replicate_emulator.routes.entry import Dropped
from replicate_emulator.routes.front import Front
from replicate_emulator.routes.problems import Problem, not_found
from replicate_emulator.rules import Rule
from replicate_emulator.settings import EmulatorSettings

_PREFIX = re.compile(r"^(/v1)+(?=/|$)")


def create_emulator(
    settings: EmulatorSettings | None = None,
    *,
    rules: Iterable[Rule] = (),
    provider: Provider | None = None,
    origins: Collection[str] = (),
) -> FastAPI:
    """
    Return an application that behaves like Replicate's HTTP API.

    Requests can only be dropped when `serve` or `open_emulator` runs it.

    Args:
        settings: How to behave while no rule says otherwise.
        rules: What waits for requests from the start.
        provider: Answers what no rule has a script for; without it, prompts are echoed.
            It is closed with the application.
        origins: Other sites whose pages may send requests.
    """
    emulator = Emulator(settings or EmulatorSettings(), rules, provider)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        emulator.close()
        if provider is not None:
            await provider.close()

    app = FastAPI(
        title="llamakeep's Replicate emulator",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/_emulator/openapi.json",
        redirect_slashes=False,
    )
    app.state.emulator = emulator
    for part in (control, prediction_routes, account_routes):
        app.router.routes.extend(part.router.routes)
    app.router.routes.append(HeadAndOptions(app.router))
    app.add_middleware(_AnyPrefix)
    app.add_middleware(_OnlyHere, emulator=emulator, origins=origins)
    app.add_middleware(Front, emulator)
    app.add_exception_handler(Problem, _refuse)
    app.add_exception_handler(Dropped, _drop)
    app.add_exception_handler(HTTPException, _refuse_route)
    return app


class _OnlyHere:
    """
    Refuses what pages elsewhere have browsers send to this computer.

    It has no passwords: every client that reaches it may read every prompt.
    """

    def __init__(
        self, app: ASGIApp, *, emulator: Emulator, origins: Collection[str]
    ) -> None:
        self._app = app
        self._emulator = emulator
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wrong = None
        if scope["type"] == "http":
            public_url = self._emulator.settings.public_url
            hosts = (public_url.host or "",) if public_url else ()
            headers = scope["headers"]
            wrong = refusal_of(headers, hosts=hosts, origins=self._origins)
        if wrong is None:
            await self._app(scope, receive, send)
            return
        refusal = Problem(
            HTTPStatus.FORBIDDEN,
            "The emulator answers on localhost, 127.0.0.1, [::1] and the host of its "
            f"setting `public_url` only, and not {wrong}. Name the origins of pages in "
            "LLAMAKEEP_CORS_ORIGINS.",
        )
        await refusal.response()(scope, receive, send)


class _AnyPrefix:
    """
    Accepts paths with `/v1`, without it, and with two.

    One of Replicate's Python clients adds it to its base URL and the next one does not,
    and both read the base URL from the same variable.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = _PREFIX.sub("", scope["path"])
            scope["raw_path"] = scope["path"].encode()
        await self._app(scope, receive, send)


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _refuse_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == not_found().status:
        return not_found().response()
    return Problem(error.status_code, error.detail).response()


async def _drop(_: Request, error: Exception) -> Response:
    del error
    return LostResponse()
