"""Reading back what was asked and answered."""

from typing import Annotated

from fastapi import Query, Request, Response

from llamakeep.api.dependencies import (
    DeletingUser,
    FollowingUser,
    PromptingUser,
    ReadingUser,
    keeper_of,
    storage_of,
)
from llamakeep.api.events import position_of, stream_response
from llamakeep.api.problems import problem_responses
from llamakeep.api.router import Router
from llamakeep.api.runs import HistoryItem, HistoryResponse, run_response
from llamakeep.api.text import Text
from llamakeep.errors import InvalidRequest, RunNotFound, ScopeMissing, Unauthenticated

router = Router(prefix="/history", tags=["history"])

_responses = problem_responses(Unauthenticated, ScopeMissing, RunNotFound)


@router.get(
    "/",
    response_model=HistoryResponse,
    responses=problem_responses(Unauthenticated, ScopeMissing, InvalidRequest),
)
async def history(
    request: Request,
    user: ReadingUser,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^run_[0-9a-z]{26}$")] = None,
    q: Annotated[Text | None, Query(max_length=1000)] = None,
) -> Response:
    """List what you asked, newest first; with `q`, only what has that text in it."""
    runs = await storage_of(request).history(
        user, before=cursor, containing=q or None, limit=limit + 1
    )
    page = runs[:limit]
    return run_response(
        HistoryResponse.model_construct(
            history=[HistoryItem.of(run) for run in page],
            next_cursor=page[-1].id if len(runs) > limit else None,
        )
    )


@router.get("/{run_id}", response_model=HistoryItem, responses=_responses)
async def get_run(run_id: str, request: Request, user: FollowingUser) -> Response:
    """Show one run: its prompt, its answer so far, and what became of it."""
    return run_response(HistoryItem.of(await storage_of(request).get_run(user, run_id)))


@router.get(
    "/{run_id}/stream",
    response_class=Response,
    responses=problem_responses(
        Unauthenticated, ScopeMissing, RunNotFound, InvalidRequest
    )
    | {200: {"content": {"text/event-stream": {}}}},
)
async def follow_run(
    run_id: str,
    request: Request,
    user: FollowingUser,
    starting_after: Annotated[str | None, Query(max_length=32)] = None,
) -> Response:
    """
    Follow a run, from its start or from where a lost connection stopped.

    Say where with `starting_after`, the number of characters of the response that you
    have, or with the header `Last-Event-ID`.
    """
    position = position_of(request, starting_after)
    run = await storage_of(request).get_run(user, run_id)
    return stream_response(keeper_of(request), run, position)


@router.post("/{run_id}/cancel", response_model=HistoryItem, responses=_responses)
async def cancel_run(run_id: str, request: Request, user: PromptingUser) -> Response:
    """Stop a run, and keep its text so far. One that is over stays as it is."""
    return run_response(HistoryItem.of(await keeper_of(request).cancel(user, run_id)))


@router.delete("/{run_id}", status_code=204, responses=_responses)
async def delete_run(run_id: str, request: Request, user: DeletingUser) -> None:
    """Forget a run for good. One that is going on is stopped first."""
    await keeper_of(request).delete(user, run_id)
