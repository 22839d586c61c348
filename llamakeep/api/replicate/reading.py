"""Listing, reading, streaming and canceling predictions."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from llamakeep.api.history.filters import Moment
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.replicate.access import (
    PREFIX,
    CurrentUser,
    FollowingUser,
    Links,
    PromptingUser,
    ReadingUser,
    reader_of,
)
from llamakeep.api.replicate.predictions import (
    Prediction,
    PredictionPage,
    prediction_response,
    results,
)
from llamakeep.api.replicate.streams import stream_response
from llamakeep.domain import first_id
from llamakeep.errors import (
    InvalidRequest,
    RunNotFound,
    ScopeMissing,
    TooManyReaders,
    Unauthenticated,
)
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of
from llamakeep.storage.history.listing import is_full

router = Router(prefix=PREFIX, tags=["replicate"], queries=Queries.VENDORS)

PAGE_SIZE = 100
_responses = problem_responses(Unauthenticated, ScopeMissing, RunNotFound)


class Account(Body):
    """The user of an access token."""

    type: Literal["user"]
    username: str
    name: str
    github_url: str | None


@router.get("/account", responses=problem_responses(Unauthenticated))
async def account(user: CurrentUser) -> Account:
    """Return the user of this access token."""
    return Account(
        type="user", username=user.username, name=user.username, github_url=None
    )


@router.get(
    "/predictions",
    response_model=PredictionPage,
    responses=problem_responses(Unauthenticated, ScopeMissing, InvalidRequest),
)
async def list_predictions(
    request: Request,
    user: ReadingUser,
    cursor: Annotated[str | None, Query(pattern=r"^[ab][0-9a-z]{26}$")] = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    source: Literal["web", "api"] | None = None,
) -> Response:
    """List your runs from all APIs as predictions, newest first."""
    links = Links.of(request)
    if source == "web":
        return prediction_response(PredictionPage(next=None, previous=None, results=[]))
    after, before = _id_at(created_after), _id_at(created_before)
    place = f"run_{cursor[1:]}" if cursor else None
    is_backwards = cursor is not None and cursor[0] == "a"
    if place is not None and is_backwards:
        after = max(after or place, place)
    elif place is not None:
        before = min(before or place, place)
    runs = await services_of(request).storage.history(
        user,
        before=before,
        after=after,
        oldest_first=is_backwards,
        limit=PAGE_SIZE + 1,
        is_page=True,
    )
    page = runs[:PAGE_SIZE]
    has_more = len(runs) > PAGE_SIZE or is_full(runs)
    if is_backwards:
        page = page[::-1]
    filters = {
        name: value
        for name in ("created_after", "created_before", "source")
        if (value := request.query_params.get(name)) is not None
    }

    def link(way: str, run_id: str) -> str:
        query = urlencode({"cursor": way + run_id.removeprefix("run_"), **filters})
        return links.to(f"/predictions?{query}")

    has_older = bool(page) and (has_more or is_backwards)
    has_newer = bool(page) and (has_more if is_backwards else cursor is not None)
    return prediction_response(
        PredictionPage.model_construct(
            next=link("b", page[-1].id) if has_older else None,
            previous=link("a", page[0].id) if has_newer else None,
            results=results(page, links),
        )
    )


@router.get(
    "/predictions/{prediction_id}", response_model=Prediction, responses=_responses
)
async def get_prediction(
    prediction_id: str, request: Request, user: FollowingUser
) -> Response:
    """Return one prediction: its input, its output so far and its status."""
    run = await services_of(request).storage.get_run(user, f"run_{prediction_id}")
    return prediction_response(Prediction.of(run, Links.of(request)))


@router.post(
    "/predictions/{prediction_id}/cancel",
    response_model=Prediction,
    responses=_responses,
)
async def cancel_prediction(
    prediction_id: str, request: Request, user: PromptingUser
) -> Response:
    """Stop a prediction, and keep its output. One that has ended stays as it is."""
    run = await services_of(request).engine.cancel(user, f"run_{prediction_id}")
    return prediction_response(Prediction.of(run, Links.of(request)))


@router.get(
    "/predictions/{prediction_id}/stream",
    response_class=Response,
    responses=_responses
    | problem_responses(InvalidRequest, TooManyReaders)
    | {200: {"content": {"text/event-stream": {}}}},
)
async def stream_prediction(
    prediction_id: str, request: Request, user: FollowingUser
) -> Response:
    """Stream a prediction, from its start or after the event in `Last-Event-ID`."""
    return await stream_response(request, user, f"run_{prediction_id}")


@router.get(
    "/streams/{credential}",
    response_class=Response,
    responses=problem_responses(
        Unauthenticated, RunNotFound, InvalidRequest, TooManyReaders
    )
    | {200: {"content": {"text/event-stream": {}}}},
)
async def stream_by_address(credential: str, request: Request) -> Response:
    """
    Stream a prediction at the URL in its `urls.stream`.

    The URL is signed, so it needs no access token. It is valid for a day, but not
    longer than the access token or API key for which it was created.
    """
    user, run_id = await reader_of(request, credential)
    return await stream_response(request, user, run_id)


def _id_at(moment: datetime | None) -> str | None:
    """Return the lowest id that a run created at `moment` can have."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return first_id("run_", moment)
