"""Lists in OpenAI's format, page by page."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query, Request

from llamakeep.api.prompts.reading import invalid
from llamakeep.domain import Run, User
from llamakeep.engine.refusals import check_is_kept
from llamakeep.services import services_of

Limit = Annotated[int, Query(ge=1, le=100)]
Order = Literal["asc", "desc"]


def listed(items: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a page of a list."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }


def page_of(
    items: Sequence[Mapping[str, Any]],
    *,
    order: Order,
    after: str | None,
    limit: int,
    unknown: str,
) -> dict[str, Any]:
    """
    Return a page of items that are all known.

    Args:
        items: All items, oldest first.
        order: Whether the page begins with the oldest or the newest.
        after: The id of the item before the page.
        limit: How many items it has at most.
        unknown: The error of an id that is none of the items'.

    Raises:
        InvalidRequest: There is no item with that id.
    """
    ordered = items if order == "asc" else items[::-1]
    start = 0
    if after is not None:
        places = {item["id"]: place for place, item in enumerate(ordered, 1)}
        if after not in places:
            raise invalid("query.after", unknown)
        start = places[after]
    end = start + limit
    return listed(ordered[start:end], has_more=end < len(ordered))


async def runs_before(request: Request, user: User, run: Run) -> Sequence[Run]:
    """
    Return the runs that the model got for `run`, oldest first.

    Raises:
        TextNotKept: The texts of `run` are not kept.
    """
    check_is_kept(run)
    assert run.conversation_id is not None
    services = services_of(request)
    context = await services.storage.context(
        user.id,
        run.conversation_id,
        previous_run_id=run.previous_run_id,
        before=run.id,
        most=services.settings.max_context_size,
    )
    return context.runs
