"""Liveness and readiness checks."""

import asyncio

from fastapi import Request

from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.errors import ServerStopping, StorageUnavailable
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of
from llamakeep.storage import Storage

router = Router(tags=["health"])

PROBE_TIMEOUT = 2.0
"""Seconds that the database has for a trial write."""
PATIENCE = 5.0
"""Seconds of failed writes after which the server is not ready."""

PATHS = ("/healthz", "/readyz")


class HealthResponse(Body):
    """The server's state."""

    status: str


@router.get("/healthz")
async def healthz() -> HealthResponse:
    """Return 200 while the process can respond."""
    return HealthResponse(status="ok")


@router.get("/readyz", responses=problem_responses(ServerStopping, StorageUnavailable))
async def readyz(request: Request) -> HealthResponse:
    """
    Return 200 if prompts can be stored and the server is not stopping.

    A database that fails for less than five seconds does not count; one that is full
    does.
    """
    services = services_of(request)
    if services.engine.is_draining or services.engine.is_stopping:
        raise ServerStopping
    storage = services.storage
    error = await _trouble_of(storage)
    if error is not None:
        since = storage.trouble.since
        if since is None or error.is_full or storage.trouble.now() - since >= PATIENCE:
            raise error
    return HealthResponse(status="ready")


async def _trouble_of(storage: Storage) -> StorageUnavailable | None:
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
