"""Whether the server lives, and whether it can take prompts."""

from pydantic import BaseModel

from llamakeep.api.dependencies import KeeperDep, StorageDep
from llamakeep.api.problems import problem_responses
from llamakeep.api.router import Router
from llamakeep.errors import ServerStopping, StorageUnavailable

router = Router(tags=["health"])


class HealthResponse(BaseModel):
    """How the server is."""

    status: str


@router.get("/healthz")
async def healthz() -> HealthResponse:
    """Say that the process lives."""
    return HealthResponse(status="ok")


@router.get("/readyz", responses=problem_responses(ServerStopping, StorageUnavailable))
async def readyz(storage: StorageDep, keeper: KeeperDep) -> HealthResponse:
    """Say whether prompts can be kept: the database answers, and nobody is stopping."""
    if keeper.is_stopping:
        raise ServerStopping
    await storage.ping()
    return HealthResponse(status="ready")
