"""Parsing of JSON request bodies: only UTF-8, as RFC 8259 says."""

import json
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from llamakeep.api.http.headers import sole_header


def is_json(content_type: str) -> bool:
    """Return whether a `Content-Type` is that of JSON."""
    if content_type == "application/json":
        return True
    message = Message()
    message["content-type"] = content_type
    kind = message.get_content_subtype()
    is_application = message.get_content_maintype() == "application"
    return is_application and (kind == "json" or kind.endswith("+json"))


def parse_json(sent: bytes) -> Any:
    """
    Parse JSON.

    Lone surrogates are left in, so that validation can name the field that has one.

    Raises:
        json.JSONDecodeError: It is not JSON.
        UnicodeError: It is not UTF-8.
        ValueError: It has a number with thousands of digits.
        RecursionError: It is nested too deeply.
    """
    # The standard library would read UTF-16 and UTF-32 as well.
    if sent and not json.detect_encoding(sent).startswith("utf-8"):
        raise UnicodeError
    return json.loads(sent)


class _JsonRequest(Request):
    async def json(self) -> Any:
        return parse_json(await self.body())


class JsonRoute(APIRoute):
    """A route that refuses bodies in UTF-16 and UTF-32, and of two types."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read_and_handle(request: Request) -> Response:
            sole_header(request, "Content-Type")
            return await handle(_JsonRequest(request.scope, request.receive))

        return read_and_handle
