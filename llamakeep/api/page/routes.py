"""
The page's addresses: its shell for browsers, and its files.

A page's path gives the shell to requests that accept HTML. To all others there is
nothing, so that a program with a wrong path learns of it.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from http import HTTPStatus

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from llamakeep.api.http.links import prefix_of
from llamakeep.api.middleware.rates import PAGE_FILES
from llamakeep.api.page.files import DOCUMENTATION, SHELL, File, Files

PAGES = (
    "c",
    "compare",
    "find",
    "join",
    "manage",
    "r",
    "reset",
    "settings",
    "terminal",
    "usage",
    "welcome",
)
"""How paths of pages begin; no path of the API begins so."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What a page may do: run and load this server's own files, and call its API."""

_CHECKED = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Vary": "Accept, Accept-Encoding",
}
_FOR_EVER = {
    "Cache-Control": f"public, max-age={365 * 24 * 3600}, immutable",
    "Vary": "Accept-Encoding",
}
_PATH = re.compile(rf"^/(?:(?:{'|'.join(PAGES)})(?:/.*)?)?$")


def file_route(files: Files) -> BaseRoute:
    """Return the route of the page's files, each of which is a request."""

    async def send_file(request: Request) -> Response:
        """Return one of the page's files, as long as its version is served."""
        edition = await files.edition()
        is_current = request.path_params["version"] == edition.digest
        found = edition.files.get(request.path_params["name"]) if is_current else None
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _send(found, request, _FOR_EVER)

    return _GetRoute(PAGE_FILES + "{version}/{name:path}", send_file)


def page_routes(files: Files) -> Sequence[BaseRoute]:
    """Return the routes of the page's HTML; they come after those of the API."""

    async def show_page(request: Request) -> Response:
        """Return the shell, which is the same for all pages."""
        return await shell_of(files, SHELL, request)

    async def show_documentation(request: Request) -> Response:
        """Return the page that shows the API, to any client."""
        return await shell_of(files, DOCUMENTATION, request)

    return [
        _PageRoute(show_page),
        APIRoute("/docs", show_documentation, include_in_schema=False),
    ]


async def shell_of(files: Files, name: str, request: Request) -> Response:
    """Return a page's HTML, under the policy that lets it run our own files only."""
    edition = await files.edition()
    return _send(edition.page(name, prefix_of(request)), request, _CHECKED)


class _GetRoute(Route):
    """A route without FastAPI's dependencies, which take longer than a file."""

    def __init__(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> None:
        super().__init__(path, endpoint)
        self.methods = {"GET"}  # see `HeadAndOptions`

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Name the route, as FastAPI's do, for the access log."""
        match, found = super().matches(scope)
        return match, {**found, "route": self}


class _PageRoute(_GetRoute):
    """Matches all paths of pages, for clients that want to read HTML."""

    def __init__(self, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        super().__init__("/", endpoint)
        self.path_regex = _PATH

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match GET, HEAD and OPTIONS that accept HTML."""
        match, found = super().matches(scope)
        if match is Match.NONE or not _wants_html(scope):
            return Match.NONE, {}
        return match, found


def _wants_html(scope: Scope) -> bool:
    return scope["method"] in {"GET", "HEAD", "OPTIONS"} and any(
        "text/html" in _accepted(value)
        for name, value in scope["headers"]
        if name == b"accept"
    )


def _accepted(header: bytes) -> Collection[str]:
    """Return what an `Accept` or `Accept-Encoding` names, but for what it refuses."""
    accepted = set()
    for part in header.decode("latin-1").lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        if not any(re.fullmatch(r"q=0(\.0*)?", each) for each in parameters):
            accepted.add(name)
    return accepted


def _send(file: File, request: Request, headers: dict[str, str]) -> Response:
    encodings = request.headers.get("accept-encoding", "")
    is_packed = "gzip" in _accepted(encodings.encode("latin-1"))
    etag = f'"{file.digest}-gzip"' if is_packed else f'"{file.digest}"'
    headers = headers | {"ETag": etag}
    known = request.headers.get("if-none-match", "")
    if etag in {each.strip().removeprefix("W/") for each in known.split(",")}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    content = file.packed if is_packed else file.content
    return Response(content, headers=headers, media_type=file.media_type)
