"""Small JSON documents over HTTP, bounded in size and time."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic_core import from_json

from llamakeep.errors import SignInUnavailable
from llamakeep.http import HttpError
from llamakeep.http.client import Client

LARGEST = 256 * 1024
"""Bytes of a document; Microsoft's keys are about 15 KB."""

CONNECT_TIMEOUT = 5
SECONDS = 10
"""How long one request may take in all: a browser waits for the page."""


async def fetch(
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    authorization: str | None = None,
) -> tuple[int, dict[str, Any]]:
    """
    Return the status and the JSON object that a provider answers with.

    Redirects are not followed: credentials must not wander.

    Args:
        url: Without a fragment.
        form: What is posted; without it, the request is a GET.
        authorization: The header of that name.

    Raises:
        SignInUnavailable: There is no answer, or it is none that can be read.
    """
    parts = urlsplit(url)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    headers = {"accept": "application/json"}
    content = b""
    if authorization is not None:
        headers["authorization"] = authorization
    if form is not None:
        headers["content-type"] = "application/x-www-form-urlencoded"
        content = urlencode(form).encode()
    client = Client(
        f"{parts.scheme}://{parts.netloc}",
        connect_timeout=CONNECT_TIMEOUT,
        silence_timeout=SECONDS,
    )
    method = "GET" if form is None else "POST"
    try:
        async with client.send(
            method, path, headers=headers, content=content, seconds=SECONDS
        ) as response:
            body = await response.read_all(LARGEST)
            status = response.status
    except (HttpError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise _unusable(url, reason) from error
    finally:
        await client.close()
    if body is None:
        raise _unusable(url, f"its answer has more than {LARGEST} bytes")
    try:
        found = from_json(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _unusable(url, f"it answered with {status} and no JSON object")
    return status, found


def _unusable(url: str, reason: str) -> SignInUnavailable:
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return SignInUnavailable(reason=f"{where}: {reason}")
