"""What a request for a response asks for, and what is refused of it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from fastapi import Request

from llamakeep.api.middleware.body_limit import LARGE
from llamakeep.api.openai.errors import PREVIOUS_NOT_FOUND
from llamakeep.api.openai.messages import place_of_images, place_of_last
from llamakeep.api.openai.responses.known_images import with_known_images
from llamakeep.api.openai.responses.reading import place_of_tools
from llamakeep.api.openai.responses.references import dereferenced
from llamakeep.api.openai.responses.request import ResponseRequest
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.api.prompts.reading import invalid
from llamakeep.domain import NewRun, Run, User
from llamakeep.engine.routing.prompting import MESSAGES, PREFILL
from llamakeep.errors import (
    ConversationNotFound,
    LlamaKeepError,
    RunNotFound,
    UnsupportedParameter,
)
from llamakeep.providers.base import IMAGES
from llamakeep.services import services_of


async def ask(
    body: ResponseRequest, request: Request, user: User, idempotency_key: str | None
) -> Run:
    """
    Return the run of a request, which is on disk.

    Raises:
        LlamaKeepError: It is refused.
    """
    refusal: LlamaKeepError | None = None
    try:
        await dereference(body, request, user)
    except LlamaKeepError as error:
        refusal = error  # raised unless the idempotency key finds an earlier run

    async def asked() -> NewRun:
        if refusal is not None:
            raise refusal
        return await asked_of(body, request)

    with refusals_of(body):
        return await services_of(request).engine.accept(
            user,
            asked,
            idempotency_key=await key_of(request, idempotency_key, body, body.asked),
            is_followed=bool(body.stream or body.background),
        )


async def dereference(body: ResponseRequest, request: Request, user: User) -> None:
    """
    Replace the references in the input of a request by the items, and known images.

    Raises:
        LlamaKeepError: As `dereferenced` and `with_known_images`.
    """
    services = services_of(request)
    storage = services.storage
    most = services.settings.max_body_size
    given = await dereferenced(body.input, partial(storage.get_run, user), most=most)
    body.input = await with_known_images(
        given, partial(storage.get_image, user), "input"
    )


async def asked_of(body: ResponseRequest, request: Request) -> NewRun:
    """
    Return the prompt of a request, read in a thread if it is large.

    Raises:
        LlamaKeepError: As `ResponseRequest.asked`.
    """
    extra = services_of(request).registry.extra_names
    if LARGE in request.scope:
        return await asyncio.to_thread(body.asked, extra)
    return body.asked(extra)


@contextmanager
def refusals_of(body: ResponseRequest) -> Iterator[None]:
    """Say of a refused prompt what is wrong with the request."""
    try:
        yield
    except UnsupportedParameter as error:
        if MESSAGES in error.parameters:
            error.parameters = (place_of_tools(body.input),)
        if PREFILL in error.parameters:
            error.parameters = (place_of_last(body.input, "input[{}].role"),)
        if IMAGES in error.parameters:
            items = body.input if isinstance(body.input, list) else ()
            path = "input.{}.content[{}].image_url"
            error.parameters = (place_of_images(items, path),)
        raise
    except RunNotFound:
        raise invalid("previous_response_id", PREVIOUS_NOT_FOUND) from None
    except ConversationNotFound:
        raise ConversationNotFound(
            f"There is no conversation {body.asked().conversation_id!a} in your "
            "history. Nothing was stored. Leave `conversation` out to begin one."
        ) from None
