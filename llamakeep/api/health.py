"""Whether the server lives, and whether it can take prompts."""

from fastapi import Request

from llamakeep.api.bodies import Body
from llamakeep.api.dependencies import keeper_of, storage_of
from llamakeep.api.problems import problem_responses
from llamakeep.api.router import Router
from llamakeep.errors import ServerStopping, StorageUnavailable

router = Router(tags=["health"])

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
    """Say whether prompts can be kept: the database answers, and nobody is stopping."""
    if keeper_of(request).is_stopping:
        raise ServerStopping
    await storage_of(request).ping()
    return HealthResponse(status="ready")
