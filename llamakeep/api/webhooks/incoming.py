"""`POST /webhooks/replicate`: webhooks from Replicate about predictions."""

import time
from contextlib import suppress
from http import HTTPStatus

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.errors import BodyTooLarge, MalformedBody, NoProvider, SignatureInvalid
from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.webhooks import (
    WEBHOOK_PATH,
    WebhookSecret,
    read_hint,
)
from llamakeep.services import services_of
from llamakeep.webhooks.signing import Stamp, is_signed, read_stamp

PATHS = (WEBHOOK_PATH, f"{WEBHOOK_PATH}/")
"""Paths whose bodies have their own size limit."""

BODIES = 4
"""
The largest webhook, as a multiple of the usual limit.

It has the prompt, in the logs up to twice more, and the response.
"""
router = Router(tags=["webhooks"], include_in_schema=False, queries=Queries.ANY)


@router.post(WEBHOOK_PATH)
async def receive(request: Request) -> Response:
    """
    Have the prediction's run polled at once.

    The webhook is only a hint: the prediction's state is read from Replicate.
    """
    secret = _secret_of(request)
    stamp = read_stamp(request.headers, now=time.time())
    body = await _read(request)
    await _check(secret, stamp, body)
    hint = read_hint(body)
    services = services_of(request)
    engine = services.engine
    if (
        hint is not None
        and engine.expects(hint.run_id)
        and await services.storage.add_delivery(stamp.id)
    ):
        engine.hint(*hint)
    return Response()


def _secret_of(request: Request) -> WebhookSecret:
    with suppress(NoProvider):
        provider = services_of(request).registry.provider(ReplicateProvider.name)
        if isinstance(provider, ReplicateProvider):
            return provider.webhook_secret
    raise HTTPException(HTTPStatus.NOT_FOUND)


async def _read(request: Request) -> bytes:
    limit = BODIES * services_of(request).settings.max_body_size
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                raise BodyTooLarge(f"A webhook may have {limit} bytes.")
    except ClientDisconnect as error:
        raise MalformedBody("The body was not sent to its end.") from error
    return bytes(body)


async def _check(secret: WebhookSecret, stamp: Stamp, body: bytes) -> None:
    known = await secret.get()
    if not is_signed(stamp, body, known):
        changed = await secret.get(instead_of=known)
        if changed == known or not is_signed(stamp, body, changed):
            raise SignatureInvalid(
                "The signature does not fit. Nothing was done with the webhook."
            )
