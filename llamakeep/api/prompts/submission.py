"""The fast path of requests that carry prompts."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from llamakeep.api.dependencies import KEY_PATTERN, LONGEST_KEY
from llamakeep.api.http.headers import first_header, single_header, sole_header
from llamakeep.api.http.json_bodies import is_json, parse_json
from llamakeep.api.http.queries import QueryCheck
from llamakeep.api.middleware.body_limit import LARGE, too_large
from llamakeep.domain import User
from llamakeep.errors import UNREAD, InvalidRequest, TooManyReaders
from llamakeep.services import services_of

_KEY = re.compile(KEY_PATTERN)
_END = "end_of_large_body"
_IMAGE = re.compile(rb'"data(?::image/|"\s*:\s*")[^"]*"')
"""A `data:` URL, or base64 as Anthropic's API has it."""

Endpoint = Callable[..., Awaitable[Response]]


class PromptRoute(APIRoute):
    """
    A route that authenticates and parses requests without FastAPI's dependencies.

    FastAPI resolves dependencies anew for each request, which takes 0.35 ms of CPU:
    half of all work on a prompt. It still documents the route. The endpoint takes
    `body`, `request`, `user` and `idempotency_key`.
    """

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.check_query: QueryCheck | None = None
        self.app = _call(endpoint, self)


def _call(endpoint: Endpoint, route: PromptRoute) -> ASGIApp:
    hints = get_type_hints(endpoint, include_extras=True)
    model: type[BaseModel] = hints["body"]
    [security] = hints["user"].__metadata__
    scopes = SecurityScopes(list(security.scopes))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        user = await security.dependency(request, scopes)
        if scope["query_string"] and route.check_query is not None:
            await route.check_query(request)
        key = first_header(request, b"idempotency-key")
        if key is not None:
            _check_key(request, key)
        if LARGE in scope:
            _hold(request, user)
        try:
            try:
                sent = await request.body()
            except ClientDisconnect:
                return
            if LARGE in scope:
                _check_text(request, sent)
            body = _read(model, request, sent)
            del sent
            response = await endpoint(body, request, user, key)
        finally:
            if LARGE in scope:
                let_go(request)
        del request, body  # frees memory: a stream may take hours
        await response(scope, receive, send)

    return app


def _hold(request: Request, user: User) -> None:
    """
    Count a large body among what a user has in memory.

    Raises:
        TooManyReaders: It would be too much.
    """
    readers = services_of(request).readers
    try:
        request.scope[_END] = readers.begin(user.id, request.scope[LARGE])
    except TooManyReaders as error:
        raise TooManyReaders(
            "Too many of your requests with images are being read at the same time. "
            f"{UNREAD} Try again in a moment.",
            retry_after=error.retry_after,
        ) from None


def let_go(request: Request) -> None:
    """Free the memory of a large body, once its prompt is kept; twice is fine."""
    end = request.scope.pop(_END, None)
    if end is not None:
        request._body = b""  # noqa: SLF001 - Starlette keeps it as long as the request
        end()


def _check_text(request: Request, sent: bytes) -> None:
    """
    Check that a body is larger than others because of its images alone.

    Raises:
        HTTPException: It is too large.
    """
    limit = services_of(request).settings.max_body_size
    if len(sent) - sum([len(one[0]) for one in _IMAGE.finditer(sent)]) > limit:
        raise too_large()


def _check_key(request: Request, key: str) -> None:
    single_header(request, "idempotency-key")
    if not (len(key) <= LONGEST_KEY and _KEY.fullmatch(key)):
        raise InvalidRequest.of(
            "header.idempotency-key",
            f"This has to be 1 to {LONGEST_KEY} ASCII characters without spaces.",
        )


def _read(model: type[BaseModel], request: Request, sent: bytes) -> BaseModel:
    """
    Parse and validate a body.

    Raises:
        HeaderRepeated: The request says two things about what the body is.
        RequestValidationError: It is not a `model`.
        HTTPException: It is not JSON.
    """
    media_type = sole_header(request, "Content-Type")
    try:
        if not (sent and is_json(media_type)):
            # Bytes are never a model: this raises the error that FastAPI would.
            return model.model_validate(sent)
        try:
            return model.model_validate_json(sent)
        except ValidationError as error:
            if error.errors()[0]["type"] != "json_invalid":
                raise
            # The standard library's parser accepts lone surrogates, so that validation
            # can name the field that has one.
            return model.model_validate(_parse(sent))
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in found]
        ) from error


def _parse(sent: bytes) -> Any:
    try:
        return parse_json(sent)
    except json.JSONDecodeError as error:
        found = {"type": "json_invalid", "loc": ("body",), "ctx": {"error": error.msg}}
        raise RequestValidationError([found]) from error
    except (ValueError, RecursionError) as error:
        # No UTF-8, a number with thousands of digits, or nested too deeply.
        raise HTTPException(400) from error
