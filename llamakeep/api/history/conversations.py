"""Listing, renaming and deleting conversations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from fastapi import Path, Query, Request
from pydantic import AfterValidator, AwareDatetime, Field

from llamakeep.api.dependencies import DeletingUser, ReadingUser
from llamakeep.api.history.filters import Words, search_of
from llamakeep.api.history.pages import NEWER, Cursor, Length
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.prompts.schemas import HistoryItem
from llamakeep.deletion.requested import delete_conversation as delete_with_runs
from llamakeep.domain import User
from llamakeep.errors import (
    BodyTooLarge,
    ConversationNotFound,
    InvalidRequest,
    MalformedBody,
    ScopeMissing,
    Unauthenticated,
)
from llamakeep.history.records import shown_beginning
from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.text import SomeText, Text
from llamakeep.services import services_of
from llamakeep.storage import Storage
from llamakeep.storage.history.beginnings import shortened
from llamakeep.storage.history.conversations import Conversation, Walked

router = Router(prefix="/conversations", tags=["conversations"])

LONGEST_TITLE = 80
"""Characters of a title that is taken from a prompt."""

ConversationId = Annotated[Text, Path(max_length=64)]

_responses = problem_responses(
    Unauthenticated, ScopeMissing, ConversationNotFound, InvalidRequest
)
_with_body = problem_responses(
    MalformedBody,
    Unauthenticated,
    ScopeMissing,
    ConversationNotFound,
    BodyTooLarge,
    InvalidRequest,
)


class ConversationItem(Body):
    """A sequence of prompts and responses."""

    id: str
    """The `conversation_id` that `/prompt/` continues and `/history/` filters by."""
    title: str
    """The title that you gave it, or else the beginning of the first prompt."""
    created_at: AwareDatetime
    updated_at: AwareDatetime
    """When its last prompt was sent."""

    @classmethod
    def of(cls, conversation: Conversation) -> Self:
        """Return the body for `conversation`."""
        return cls(**_facts(conversation))


class ListedConversation(ConversationItem):
    """A conversation in a list."""

    newest_run: HistoryItem | None = None
    """Only there with `text`: its newest run, as a list of runs with `text` has it."""


class ConversationDetails(ConversationItem):
    """A conversation with the number of its runs."""

    runs: int


class ConversationsResponse(Body):
    """A page of conversations, the one with the latest prompt first."""

    conversations: list[ListedConversation]
    """
    A page may have fewer than `limit` when conversations are long; the last page is the
    one without `next_cursor`.
    """
    next_cursor: str | None
    """Send it as `cursor` to get the page after this one; `null` on the last page."""
    previous_cursor: str | None
    """Send it as `cursor` to get the page before this one; `null` on the first page."""


class ConversationChange(Form):
    """Changes to a conversation."""

    title: (
        Annotated[
            SomeText,
            Field(max_length=200),
            AfterValidator(lambda text: " ".join(text.split())),
        ]
        | None
    )
    """On one line; `null` goes back to the beginning of the first prompt."""


@router.get(
    "/",
    response_model_exclude_unset=True,
    responses=problem_responses(Unauthenticated, ScopeMissing, InvalidRequest),
)
async def list_conversations(
    request: Request,
    user: ReadingUser,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Cursor = None,
    q: Words = None,
    text: Length = None,
) -> ConversationsResponse:
    """
    List your conversations, the one with the latest prompt first.

    With `q`, those whose title or one of whose runs has all words, on a single page.
    """
    storage = services_of(request).storage
    search = search_of(q)
    if search is None:
        page = await _walk(storage, user, limit, cursor)
    elif cursor is not None:
        raise InvalidRequest.of("query.cursor", "Use `q` without it, on a single page.")
    else:
        found = await storage.find_conversations(user, search, limit=limit)
        page = _Page(found)
    return await _shown_page(storage, user, page, text)


@dataclass(frozen=True, slots=True)
class _Page:
    conversations: Sequence[Conversation]
    older: str | None = None
    newer: str | None = None


async def _walk(storage: Storage, user: User, limit: int, cursor: str | None) -> _Page:
    place = (cursor or "").removeprefix(NEWER) or None
    is_backwards = cursor != place
    walked = await storage.conversations(
        user,
        before=None if is_backwards else place,
        after=place if is_backwards else None,
        oldest_first=is_backwards,
        limit=limit + 1,
    )
    return _page(walked, limit, place, is_backwards=is_backwards)


@router.get("/{conversation_id}", responses=_responses)
async def get_conversation(
    conversation_id: ConversationId, request: Request, user: ReadingUser
) -> ConversationDetails:
    """Return one conversation; its runs are at `/history/?conversation_id=`."""
    found, count = await services_of(request).storage.get_conversation(
        user, conversation_id
    )
    return ConversationDetails(**_facts(found), runs=count)


@router.patch("/{conversation_id}", responses=_with_body)
async def change_conversation(
    conversation_id: ConversationId,
    body: ConversationChange,
    request: Request,
    user: ReadingUser,
) -> ConversationDetails:
    """Change a conversation's title."""
    services = services_of(request)
    storage = services.storage
    await storage.set_title(user, conversation_id, body.title)
    found, count = await storage.get_conversation(user, conversation_id)
    services.engine.feeds.changed(user.id, found.newest_run_id)
    return ConversationDetails(**_facts(found), runs=count)


@router.delete("/{conversation_id}", status_code=204, responses=_responses)
async def delete_conversation(
    conversation_id: ConversationId, request: Request, user: DeletingUser
) -> None:
    """
    Delete a conversation with all its runs permanently.

    Unfinished runs are stopped first. Prompts sent in it meanwhile stay.
    """
    services = services_of(request)
    await delete_with_runs(services.engine, services.storage, user, conversation_id)


def title_of(prompt: str) -> str:
    """Return the first line of `prompt` that has letters or digits, cut at a space."""
    lines = [" ".join(line.split()) for line in prompt.splitlines()]
    spoken = (line for line in lines if any(map(str.isalnum, line)))
    title = next(spoken, " ".join(lines).strip())
    if len(title) <= LONGEST_TITLE:
        return title
    cut = title[: LONGEST_TITLE - 1]
    if not title[LONGEST_TITLE - 1].isspace():
        whole, _, rest = cut.rpartition(" ")
        # Some languages have no spaces, and some words, such as URLs, are long.
        cut = whole if len(rest) < LONGEST_TITLE // 2 else cut
    return cut.rstrip(" ,.:;-") + "…"


def shown_title(conversation: Conversation) -> str:
    """Return the title that was chosen, or that the first prompt gives."""
    return conversation.chosen_title or title_of(conversation.opening)


def _facts(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "title": shown_title(conversation),
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
    }


async def _shown_page(
    storage: Storage, user: User, page: _Page, length: int | None
) -> ConversationsResponse:
    items = [ListedConversation.of(each) for each in page.conversations]
    if length is not None:
        ids = [each.newest_run_id for each in page.conversations]
        runs = await storage.beginnings_of(user, ids, length=length)
        for item, run_id in zip(items, ids, strict=True):
            if run_id in runs:  # else it was deleted meanwhile
                shown = shown_beginning(shortened(runs[run_id], length))
                item.newest_run = HistoryItem.model_validate(shown)
    return ConversationsResponse(
        conversations=items, next_cursor=page.older, previous_cursor=page.newer
    )


def _page(
    walked: Walked, limit: int, place: str | None, *, is_backwards: bool
) -> _Page:
    has_more = len(walked.conversations) > limit
    page = list(walked.conversations[:limit])
    # The next page begins after this one, or where storage stopped its scan.
    ahead = page[-1].newest_run_id if has_more else walked.stopped_at
    behind = page[0].newest_run_id if page else place
    if is_backwards:
        page.reverse()
    older, newer = (behind, ahead) if is_backwards else (ahead, behind)
    if place is None:
        newer = None
    return _Page(page, older, NEWER + newer if newer else None)
