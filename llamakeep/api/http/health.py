"""Whether the server lives, and whether it can take prompts."""

import asyncio

from fastapi import Request

from llamakeep.api.dependencies import keeper_of, storage_of
from llamakeep.api.http.bodies import Body
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.errors import ServerStopping, StorageUnavailable
from llamakeep.storage import Storage

router = Router(tags=["health"])

PROBE_TIMEOUT = 2.0
"""Seconds that the database has to keep something."""
PATIENCE = 5.0
"""Seconds of failing after which prompts should go elsewhere."""

PATHS = ("/healthz", "/readyz")


class HealthResponse(Body):
    """How the server is."""

    status: str


@router.get("/healthz")
async def healthz() -> HealthResponse:
    """Say that the process lives."""
    return HealthResponse(status="ok")


@router.get("/readyz", responses=problem_responses(ServerStopping, StorageUnavailable))
async def readyz(request: Request) -> HealthResponse:
    """
    Say whether prompts can be kept: something can be, and the server is not stopping.

    A database that fails for a moment is no reason to send clients elsewhere; one that
    is full is.
    """
    if keeper_of(request).is_stopping:
        raise ServerStopping
    storage = storage_of(request)
    error = await _trouble_of(storage)
    if error is not None:
        since = storage.trouble.since
        if since is None or error.is_full or storage.trouble.now() - since >= PATIENCE:
            raise error
    return HealthResponse(status="ready")


async def _trouble_of(storage: Storage) -> StorageUnavailable | None:
    """Return why nothing can be kept now."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            await storage.ping()
            await storage.check_writable()
    except StorageUnavailable as error:
        return error
    except TimeoutError:
        silent = StorageUnavailable(
            f"The database has not answered for {PROBE_TIMEOUT:.0f} seconds."
        )
        storage.trouble.failed("write", silent, silent.detail)
        return silent
    return None
