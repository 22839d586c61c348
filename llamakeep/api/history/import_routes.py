"""`POST /history/import`."""

from collections.abc import AsyncIterator
from functools import partial

from fastapi import Request
from starlette.requests import ClientDisconnect

from llamakeep.api.dependencies import PromptingUser
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    ScopeMissing,
    StorageUnavailable,
    TooManyReaders,
    Unauthenticated,
)
from llamakeep.history.importing import Import
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of

router = Router(prefix="/history", tags=["history"])

PATHS = frozenset({"/history/import", "/history/import/"})
"""Paths whose bodies have their own size limit."""


class Imported(Body):
    """How many runs were imported."""

    imported: int
    """Runs that are new in your history."""
    known: int
    """Runs that were there already, and stay as they are."""


@router.post(
    "/import",
    responses=problem_responses(
        MalformedBody,
        Unauthenticated,
        ScopeMissing,
        BodyTooLarge,
        InvalidRequest,
        StorageUnavailable,
        TooManyReaders,
    ),
    openapi_extra={
        "requestBody": {
            "description": "A file from `GET /history/export`.",
            "required": False,
            # The Content-Type is ignored, since curl sends none of its own.
            "content": {
                "application/octet-stream": {
                    "schema": {"type": "string", "format": "binary"}
                }
            },
        }
    },
)
async def import_history(request: Request, user: PromptingUser) -> Imported:
    """
    Add the runs of a `GET /history/export` (`ndjson`, one run a line) to your history.

    Importing a file again changes nothing. Lines are stored as they arrive; if one is
    invalid, the response says which lines were imported.
    """
    services = services_of(request)
    settings = services.settings
    limit = settings.max_import_size
    importing = Import(
        services.storage,
        user,
        max_said=settings.max_body_size,
        max_images=settings.max_images_size,
        hold=partial(services.readers.begin_import, user.id),
    )

    def check(size: int) -> None:
        if size > limit:
            raise BodyTooLarge(
                f"A file may have {limit.human_readable()}. {importing.so_far} Cut it "
                "between two lines, or raise LLAMAKEEP_MAX_IMPORT_SIZE."
            )

    async def within_limit() -> AsyncIterator[bytes]:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            check(size)
            yield piece

    check(int(request.headers.get("content-length", 0)))
    try:
        await importing.read(within_limit())
    except ClientDisconnect as error:
        raise MalformedBody(f"The file has no end. {importing.so_far}") from error
    finally:
        if importing.imported:
            services.engine.feeds.lose(user.id)
    return Imported(imported=importing.imported, known=importing.known)
