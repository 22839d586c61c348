"""Routes of Replicate's API that are not supported: 404 with an explanation."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter

from llamakeep.api.replicate.access import PREFIX
from llamakeep.errors import PathNotFound

router = APIRouter(prefix=PREFIX, include_in_schema=False)

AREAS = {
    "v1": (
        "The base URL has one /v1 too many: this client adds it by itself. End it with "
        "/replicate."
    ),
    "deployments": (
        "There are no deployments here. Run the model by its name instead: "
        "`owner/name`, or `provider/model`."
    ),
    "files": "Files are not taken here: prompts are text. Send them in the prompt.",
    "trainings": "Models are not trained here.",
    "collections": "There are no collections here; GET /replicate/v1/models lists all.",
    "hardware": "There is no hardware to choose here.",
}
METHODS = ["GET", "POST", "PATCH", "DELETE"]


def _not_found(detail: str) -> Callable[[], Awaitable[None]]:
    async def unserved() -> None:
        raise PathNotFound(detail)

    return unserved


for _area, _detail in AREAS.items():
    for _path in (f"/{_area}", f"/{_area}/{{rest:path}}"):
        router.add_api_route(_path, _not_found(_detail), methods=METHODS)
