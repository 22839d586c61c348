"""Taking in a history that was exported, here or elsewhere."""

from collections.abc import AsyncIterator
from functools import partial

from fastapi import Request
from starlette.requests import ClientDisconnect

from llamakeep.api.dependencies import (
    PromptingUser,
    readers_of,
    settings_of,
    storage_of,
)
from llamakeep.api.history.importing import Import
from llamakeep.api.http.bodies import Body
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

router = Router(prefix="/history", tags=["history"])

PATHS = frozenset({"/history/import", "/history/import/"})
"""Where bodies have a limit of their own."""


class Imported(Body):
    """What has become of the lines."""

    imported: int
    """How many runs are new in your history."""
    known: int
    """How many were there already, and stay as they are."""


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
            "description": "A file, as `GET /history/export` has sent it.",
            "required": False,
            # What it is said to be is not looked at, and curl says nothing.
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
    Add what `GET /history/export` has sent, one run a line, to your history.

    Importing it again changes nothing. Lines are kept as they come; if one is wrong,
    the answer says how far it went.
    """
    settings = settings_of(request)
    limit = settings.max_import_size
    importing = Import(
        storage_of(request),
        user,
        max_said=settings.max_body_size,
        hold=partial(readers_of(request).begin_import, user.id),
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
    return Imported(imported=importing.imported, known=importing.known)
