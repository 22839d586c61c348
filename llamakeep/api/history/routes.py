"""Listing, reading, following, tagging, canceling and deleting runs."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response

from llamakeep.api.dependencies import (
    DeletingUser,
    FollowingUser,
    PromptingUser,
    ReadingUser,
)
from llamakeep.api.history import export as history_export
from llamakeep.api.history import images as history_images
from llamakeep.api.history import import_routes as history_import
from llamakeep.api.history import stats as history_stats
from llamakeep.api.history.conversations import shown_title
from llamakeep.api.history.filters import Matching
from llamakeep.api.history.highlights import highlights
from llamakeep.api.history.pages import Asked, Cursor, Length, best_page, page_of
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.prompts.events import position_of, stream_response
from llamakeep.api.prompts.schemas import (
    HistoryItem,
    HistoryResponse,
    long_response,
    shown_response,
)
from llamakeep.api.webhooks.outgoing import WatchedRun, watched
from llamakeep.deletion.requested import delete_runs
from llamakeep.domain.runs import length_of
from llamakeep.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    RunNotFound,
    ScopeMissing,
    TooManyReaders,
    Unauthenticated,
)
from llamakeep.history.records import shown_beginning, shown_in_history
from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.fields import Metadata
from llamakeep.services import services_of
from llamakeep.storage.history.filters import EVERYTHING

router = Router(prefix="/history", tags=["history"])
# Fixed paths have to match before `/{run_id}`.
router.routes.extend(history_export.router.routes)
router.routes.extend(history_import.router.routes)
router.routes.extend(history_stats.router.routes)
router.routes.extend(history_images.router.routes)

_responses = problem_responses(
    Unauthenticated, ScopeMissing, RunNotFound, InvalidRequest, TooManyReaders
)


@router.get(
    "/",
    response_model=HistoryResponse,
    responses=problem_responses(
        Unauthenticated, ScopeMissing, InvalidRequest, TooManyReaders
    ),
)
async def history(
    request: Request,
    user: ReadingUser,
    matching: Matching,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Cursor = None,
    sort: Literal["newest", "best"] = "newest",
    text: Length = None,
    titles: Annotated[
        bool, Query(description="Send the titles of the runs' conversations, too.")
    ] = False,
) -> Response:
    """
    List your runs, newest first.

    With `q`, `sort=best` lists the most relevant runs first, on a single page. With
    `text`, a page is small whatever was said: long texts are neither read nor sent.
    """
    storage = services_of(request).storage
    asked = Asked(user, matching, limit, text)
    page = await (page_of if sort == "newest" else best_page)(storage, asked, cursor)
    marked = None
    if matching.search is not None:
        marked = await asyncio.to_thread(highlights, page.runs, matching.search)
    listed = page.shown(text)
    facts: dict[str, Any] = {
        "history": [shown_beginning(each) for each in listed],
        "next_cursor": page.older,
        "previous_cursor": page.newer,
        "highlights": marked,
    }
    if titles:
        known = await storage.conversations_of(page.runs)
        facts["titles"] = {each: shown_title(it) for each, it in known.items()}
    length = length_of(each.run for each in listed)
    return long_response(request, user, facts, length)


class Deleted(Body):
    """How many runs were deleted."""

    deleted: int


@router.delete(
    "/", responses=problem_responses(Unauthenticated, ScopeMissing, InvalidRequest)
)
async def delete_history(
    request: Request,
    user: DeletingUser,
    matching: Matching,
    all: Annotated[  # noqa: A002 - the name of the field
        bool, Query(description="Delete the whole history, without any filter.")
    ] = False,
) -> Deleted:
    """
    Delete all runs that match the filters permanently.

    Unfinished runs are stopped first. Runs that begin after the request stay.
    """
    if await request.body():
        raise InvalidRequest.of(
            "body",
            "Say which runs to delete in the query, as in `?until=2026-01-01`; no body "
            "is read. Nothing was deleted.",
        )
    if all is (matching != EVERYTHING):
        raise InvalidRequest.of(
            "query.all",
            "Say which runs to delete with a filter, or `all=true` without one for the "
            "whole history. Nothing was deleted.",
        )
    services = services_of(request)
    deleted = await delete_runs(services.engine, services.storage, user, matching)
    return Deleted(deleted=deleted)


@router.get("/{run_id}", response_model=WatchedRun, responses=_responses)
async def get_run(run_id: str, request: Request, user: FollowingUser) -> Response:
    """Return one run: its prompt, its response so far and its status."""
    run = await services_of(request).storage.get_run(user, run_id)
    facts = await watched(request, run)
    return long_response(request, user, facts, length_of([run]))


class RunChange(Form):
    """Changes to a run."""

    metadata: Metadata
    """Up to 16 tags, which replace the run's."""


@router.patch(
    "/{run_id}",
    response_model=HistoryItem,
    responses=problem_responses(
        MalformedBody,
        Unauthenticated,
        ScopeMissing,
        RunNotFound,
        BodyTooLarge,
        InvalidRequest,
    ),
)
async def change_run(
    run_id: str, body: RunChange, request: Request, user: ReadingUser
) -> Response:
    """Replace a run's tags."""
    services = services_of(request)
    run = await services.storage.set_metadata(user, run_id, body.metadata)
    services.engine.feeds.changed(user.id, run_id)
    return shown_response(shown_in_history(run))


@router.get(
    "/{run_id}/stream",
    response_class=Response,
    responses=_responses | {200: {"content": {"text/event-stream": {}}}},
)
async def follow_run(
    run_id: str,
    request: Request,
    user: FollowingUser,
    starting_after: Annotated[str | None, Query(max_length=32)] = None,
) -> Response:
    """
    Stream a run's events, from its start or from where a lost connection stopped.

    To resume, send `starting_after`, the number of characters of the response that you
    have, or the header `Last-Event-ID`.
    """
    position = position_of(request, starting_after)
    services = services_of(request)
    with services.readers.beginning(user.id) as end:
        run = await services.storage.outline(user, run_id)
        return stream_response(services.engine, run, position, end=end)


@router.post("/{run_id}/cancel", response_model=HistoryItem, responses=_responses)
async def cancel_run(run_id: str, request: Request, user: PromptingUser) -> Response:
    """Stop a run, and keep its text so far. One that has ended stays as it is."""
    run = await services_of(request).engine.cancel(user, run_id)
    return shown_response(shown_in_history(run))


@router.delete("/{run_id}", status_code=204, responses=_responses)
async def delete_run(run_id: str, request: Request, user: DeletingUser) -> None:
    """Delete a run permanently. An unfinished one is stopped first."""
    await services_of(request).engine.delete(user, run_id)
