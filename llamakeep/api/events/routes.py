"""`GET /events/`: what happens to a user's runs, and the texts of some, as it comes."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import StringConstraints

from llamakeep.api.dependencies import ReadingUser, check_again
from llamakeep.api.events.stream import EventStream
from llamakeep.api.http.headers import single_header
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.http.streaming import Streaming
from llamakeep.api.prompts.events import HEADERS
from llamakeep.domain import Scope
from llamakeep.engine import Position
from llamakeep.errors import (
    InvalidRequest,
    ScopeMissing,
    TooManyReaders,
    Unauthenticated,
)
from llamakeep.services import services_of

router = Router(prefix="/events", tags=["history"])

MOST_FOLLOWED = 32

HELD = 1024 * 1024
"""Characters that a stream counts for among a user's open responses."""

Place = Annotated[str, StringConstraints(max_length=64)]


@router.get(
    "/",
    response_class=Response,
    responses=problem_responses(
        Unauthenticated, ScopeMissing, InvalidRequest, TooManyReaders
    )
    | {200: {"content": {"text/event-stream": {}}}},
)
async def follow_events(
    request: Request,
    user: ReadingUser,
    follow: Annotated[
        list[Place],
        Query(
            max_length=MOST_FOLLOWED,
            description="A run whose text is streamed as well, and your position in "
            "it: `run_…:57@2`.",
        ),
    ] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """
    Stream what happens to your runs, whatever asked them, and the texts of some.

    `run` events tell that a run began, changed its status or ended. To come back
    without a loss, send the header `Last-Event-ID`, and in `follow` the last
    `position` of each run.
    """
    positions = _positions(follow)
    cursor = single_header(request, "last-event-id") or ""
    services = services_of(request)
    with services.readers.beginning(user.id, HELD) as end:
        stream = EventStream(
            services.engine,
            services.storage,
            user,
            positions,
            partial(check_again, request, [Scope.HISTORY]),
        )
        await stream.open(cursor)

    def close() -> None:
        stream.close()
        end()

    return Streaming(stream.pieces(), end=close, headers=HEADERS)


def _positions(follow: Sequence[str]) -> Mapping[str, Position]:
    found: dict[str, Position] = {}
    for each in follow:
        run_id, _, written = each.partition(":")
        position = Position.parse(written or "0")
        if position is None or not run_id or run_id in found:
            raise InvalidRequest.of(
                "query.follow",
                "Send each run once, with its id and your position in it: "
                "`follow=run_…:57@2`. The position is that of the last event you have "
                "of it, or `position` in the history.",
            )
        found[run_id] = position
    return found
