"""What a page has to know of this server before anybody logs in."""

from fastapi import Request

from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.errors import StorageUnavailable
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of

router = Router(tags=["health"])


class About(Body):
    """This server, for clients that are not logged in."""

    version: str
    demo: bool
    """Whether it has two demonstration users, whose passwords are well known."""
    setup: bool
    """Whether the first administrator can be created, with the token it printed."""
    max_body_size: int
    """How many bytes a request may have."""
    max_images_size: int
    """How many bytes the images of a prompt may have on top of that."""


@router.get("/about/", responses=problem_responses(StorageUnavailable))
async def about(request: Request) -> About:
    """Return what there is to know without a login."""
    services = services_of(request)
    settings = services.settings
    is_offered = services.setup.token_digest is not None
    return About(
        version=request.app.version,
        demo=settings.demo,
        # Another process may have used the token.
        setup=is_offered and not await services.storage.has_users(),
        max_body_size=int(settings.max_body_size),
        max_images_size=int(settings.max_images_size),
    )
