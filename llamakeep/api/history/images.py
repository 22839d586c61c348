"""`GET /history/{run_id}/images/{sha256}`: the images of runs."""

from typing import Annotated

from fastapi import Path, Request, Response

from llamakeep.api.dependencies import FollowingUser
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.http.streaming import Streaming, sent
from llamakeep.domain.images import MEDIA_TYPES
from llamakeep.errors import (
    ImageNotFound,
    InvalidRequest,
    ScopeMissing,
    TooManyReaders,
    Unauthenticated,
)
from llamakeep.schemas.json_text import cut
from llamakeep.services import services_of

router = Router(prefix="/history", tags=["history"])

Hash = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


@router.get(
    "/{run_id}/images/{sha256}",
    response_class=Response,
    responses=problem_responses(
        Unauthenticated, ScopeMissing, ImageNotFound, InvalidRequest, TooManyReaders
    )
    | {
        200: {"content": {media_type: {} for media_type in sorted(MEDIA_TYPES)}},
        304: {"description": "It is the one of the `ETag` in `If-None-Match`."},
    },
)
async def get_image(
    run_id: str, sha256: Hash, request: Request, user: FollowingUser
) -> Response:
    """Return an image that a run shows, as it was sent."""
    services = services_of(request)
    image = await services.storage.get_image(user, run_id, sha256)
    etag = f'"{sha256}"'
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "ETag": etag,
        "Vary": "Authorization, X-API-Key",
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    with services.readers.beginning(user.id, image.size) as end:
        found = await services.storage.image_data(user.id, [sha256])
        if sha256 not in found:
            raise ImageNotFound("The image was deleted in this moment.")
        kind = image.media_type.removeprefix("image/")
        headers |= {
            "Content-Disposition": f'inline; filename="{sha256[:16]}.{kind}"',
            "Content-Length": str(image.size),
            # Opened as a page of its own, it can load and run nothing.
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        pieces = sent(cut(found[sha256]))
        return Streaming(pieces, end=end, media_type=image.media_type, headers=headers)
