"""OpenAI's Conversations API: the conversations of the history, item by item."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import Field, WithJsonSchema

from llamakeep import errors
from llamakeep.api.dependencies import DeletingUser, FollowingUser, PromptingUser
from llamakeep.api.http.links import origin_of
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.openai.errors import error_responses
from llamakeep.api.openai.lists import Limit, Order, listed
from llamakeep.api.openai.responses.items import (
    find_item,
    items_of,
    run_id_in,
    with_origin,
)
from llamakeep.api.openai.responses.known_images import with_known_images
from llamakeep.api.openai.responses.reading import read_items
from llamakeep.api.openai.responses.references import is_item_id
from llamakeep.api.openai.responses.rendering import RESPONSE
from llamakeep.api.openai.responses.request import ITEM_SCHEMA
from llamakeep.api.openai.responses.routes import (
    Included,
    IncludedInBrackets,
    refuse_more,
)
from llamakeep.api.openai.wire import json_response
from llamakeep.api.prompts.ids import id_of
from llamakeep.api.prompts.reading import invalid
from llamakeep.deletion.requested import delete_conversation
from llamakeep.domain import Message, Run, RunStatus, User
from llamakeep.domain.embeddings import ALONE
from llamakeep.domain.runs import CLIENT
from llamakeep.errors import ConversationNotFound, RunNotFound
from llamakeep.history.additions import additions, beginning
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import Metadata
from llamakeep.services import services_of
from llamakeep.storage import Storage
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.listing import is_full

router = Router(prefix="/v1/conversations", tags=["openai"], queries=Queries.VENDORS)

MOST_ITEMS = 20
"""How many items a request may add, as with OpenAI."""
MUCH = 4 * 1024 * 1024
"""Characters of runs that make a page of items full."""

_errors = error_responses(
    errors.Unauthenticated,
    errors.ScopeMissing,
    errors.ConversationNotFound,
    errors.InvalidRequest,
)
_with_body = _errors | error_responses(
    errors.MalformedBody,
    errors.InvalidRequest,
    errors.UnsupportedParameter,
    errors.BodyTooLarge,
)
AlsoIncluded = Annotated[
    list[str] | None,
    Query(description="As for responses: what there is of it is shown anyway."),
]
Item = Annotated[dict[str, Any], WithJsonSchema(ITEM_SCHEMA)]


class ConversationRequest(Form):
    """A new conversation."""

    items: Annotated[list[Item], Field(max_length=MOST_ITEMS)] | None = None
    """Up to 20 items that it begins with, as in the input of a response."""
    metadata: Metadata | None = None
    """Up to 16 tags of your own."""


class MetadataChange(Form):
    """Changes to a conversation."""

    metadata: Metadata | None
    """Up to 16 tags, which replace those of the conversation."""


class ItemsRequest(Form):
    """Items to add to a conversation."""

    items: Annotated[list[Item], Field(min_length=1, max_length=MOST_ITEMS)]
    """Up to 20 items, as in the input of a response."""


@router.post("", response_class=Response, responses=_with_body)
async def create(
    body: ConversationRequest, request: Request, user: PromptingUser
) -> Response:
    """Begin a conversation, which may have items from the start."""
    services = services_of(request)
    messages = await _read(services.storage, user, body.items or [])
    first = beginning(user, body.metadata or {})
    assert first.conversation_id is not None
    added = additions(
        user, messages, conversation_id=first.conversation_id, after=first.id
    )
    await services.storage.import_runs(user, [first, *added])
    services.engine.feeds.changed(user.id, first.id, *[run.id for run in added])
    return json_response(_conversation(first))


@router.get("/{conversation_id}", response_class=Response, responses=_errors)
async def retrieve(
    conversation_id: str, request: Request, user: FollowingUser
) -> Response:
    """Return a conversation; any of the history is one."""
    storage = services_of(request).storage
    return json_response(_conversation(await _first(storage, user, conversation_id)))


@router.post("/{conversation_id}", response_class=Response, responses=_with_body)
async def change(
    conversation_id: str,
    body: MetadataChange,
    request: Request,
    user: PromptingUser,
) -> Response:
    """Replace a conversation's metadata, which is that of its first run."""
    storage = services_of(request).storage
    first = await _first(storage, user, conversation_id)
    changed = await storage.set_metadata(user, first.id, body.metadata or {})
    return json_response(_conversation(changed))


@router.delete("/{conversation_id}", response_class=Response, responses=_errors)
async def delete(
    conversation_id: str, request: Request, user: DeletingUser
) -> Response:
    """Delete a conversation with all of its responses and items permanently."""
    services = services_of(request)
    await _first(services.storage, user, conversation_id)
    await delete_conversation(services.engine, services.storage, user, conversation_id)
    return json_response(
        {"id": conversation_id, "object": "conversation.deleted", "deleted": True}
    )


@router.post("/{conversation_id}/items", response_class=Response, responses=_with_body)
async def add_items(
    conversation_id: str,
    body: ItemsRequest,
    request: Request,
    user: PromptingUser,
    *,
    include: AlsoIncluded = None,
    include_brackets: IncludedInBrackets = None,
) -> Response:
    """Add items to a conversation, after those that it has."""
    refuse_more(include, include_brackets)
    services = services_of(request)
    storage = services.storage
    messages = await _read(storage, user, body.items)
    found, _ = await storage.get_conversation(user, conversation_id)
    added = additions(
        user, messages, conversation_id=found.id, after=found.newest_run_id
    )
    await storage.import_runs(user, added)
    services.engine.feeds.changed(user.id, *[run.id for run in added])
    origin = origin_of(request)
    items = [with_origin(item, origin) for run in added for item in items_of(run)]
    return json_response(listed(items, has_more=False))


@router.get("/{conversation_id}/items", response_class=Response, responses=_errors)
async def list_items(
    conversation_id: str,
    request: Request,
    user: FollowingUser,
    *,
    limit: Limit = 20,
    order: Order = "desc",
    after: Annotated[str | None, Query(max_length=64)] = None,
    include: Included = None,
    include_brackets: IncludedInBrackets = None,
) -> Response:
    """List a conversation's items: those of its answered prompts, and added ones."""
    refuse_more(include, include_brackets)
    storage = services_of(request).storage
    is_up = order == "asc"
    items: list[dict[str, Any]] = []
    place: str | None = None
    if after is None:
        await _first(storage, user, conversation_id)
    else:
        run, _ = await _found(storage, user, conversation_id, after, param="after")
        items, place = _ordered(run, is_up=is_up), run.id
        at = [item["id"] for item in items].index(after)
        items = items[at + 1 :]
    matching = RunFilter(
        conversation_id=conversation_id, statuses={RunStatus.SUCCEEDED}
    )
    has_more = False
    while not has_more and len(items) <= limit:
        wanted = limit + 1 - len(items)
        page = await storage.history(
            user,
            after=place if is_up else None,
            before=None if is_up else place,
            oldest_first=is_up,
            matching=matching,
            limit=wanted,
            is_page=True,
            much=MUCH,
        )
        items += [item for run in page for item in _ordered(run, is_up=is_up)]
        has_more = is_full(page, much=MUCH)
        if len(page) < wanted:
            break
        place = page[-1].id
    has_more = has_more or len(items) > limit
    origin = origin_of(request)
    shown = [with_origin(item, origin) for item in items[:limit]]
    return json_response(listed(shown, has_more=has_more))


@router.get(
    "/{conversation_id}/items/{item_id}", response_class=Response, responses=_errors
)
async def retrieve_item(
    conversation_id: str,
    item_id: str,
    request: Request,
    user: FollowingUser,
    *,
    include: AlsoIncluded = None,
    include_brackets: IncludedInBrackets = None,
) -> Response:
    """Return an item of a conversation."""
    refuse_more(include, include_brackets)
    storage = services_of(request).storage
    _, item = await _found(storage, user, conversation_id, item_id)
    return json_response(with_origin(item, origin_of(request)))


@router.delete(
    "/{conversation_id}/items/{item_id}", response_class=Response, responses=_errors
)
async def delete_item(
    conversation_id: str, item_id: str, request: Request, user: DeletingUser
) -> Response:
    """Delete an item that was added to a conversation; those of responses stay."""
    services = services_of(request)
    run, _ = await _found(services.storage, user, conversation_id, item_id)
    if run.provider != CLIENT:
        raise invalid(
            "item_id",
            f"It is of the response {id_of(run, RESPONSE)}, whose items belong "
            "together. Nothing was deleted. Delete the response, or the conversation.",
        )
    first = await _first(services.storage, user, conversation_id)
    await services.engine.delete(user, run.id)
    return json_response(_conversation(first))


async def _first(storage: Storage, user: User, conversation_id: str) -> Run:
    """
    Return the first run of a conversation, which has its metadata.

    Raises:
        ConversationNotFound: `user` has no such conversation.
    """
    matching = RunFilter(conversation_id=conversation_id)
    found = await storage.history(
        user, matching=matching, oldest_first=True, limit=1, longest=0
    )
    if not found or conversation_id.startswith(ALONE):
        raise ConversationNotFound(
            f"There is no conversation {conversation_id[:64]!a} in your history."
        )
    return found[0]


async def _found(
    storage: Storage,
    user: User,
    conversation_id: str,
    item_id: str,
    *,
    param: str | None = None,
) -> tuple[Run, dict[str, Any]]:
    """
    Return an item of a conversation, and the run that it is of.

    Raises:
        ConversationNotFound: `user` has no such conversation.
        RunNotFound: There is no such item in it.
        InvalidRequest: The same, if a parameter names it.
    """
    if is_item_id(item_id):
        try:
            run = await storage.get_run(user, run_id_in(item_id))
        except RunNotFound:
            run = None
        if run is not None and run.conversation_id == conversation_id:
            item = find_item(run, item_id)
            if item is not None and run.store and run.status is RunStatus.SUCCEEDED:
                return run, item
    await _first(storage, user, conversation_id)
    if param is not None:
        raise invalid(param, "It is the id of no item of this conversation.")
    raise RunNotFound(f"There is no item {item_id[:64]!a} in this conversation.")


async def _read(
    storage: Storage, user: User, items: list[dict[str, Any]]
) -> Sequence[Message]:
    """
    Return the messages that items are.

    Raises:
        InvalidRequest: An item cannot be read, or its text may not be kept.
        UnsupportedParameter: No model here reads an item.
    """
    if items and not user.keeps_texts:
        raise invalid(
            "items",
            "They would be kept, and no texts of this API key or user are. Nothing was "
            "stored. Send them in the `input` of a response.",
        )
    find = partial(storage.get_image, user)
    return read_items(await with_known_images(items, find, "items"))


def _ordered(run: Run, *, is_up: bool) -> list[dict[str, Any]]:
    # Of one whose texts are not kept, nothing is left to show.
    items = list(items_of(run)) if run.store else []
    return items if is_up else items[::-1]


def _conversation(first: Run) -> dict[str, Any]:
    return {
        "id": first.conversation_id,
        "object": "conversation",
        "created_at": int(first.created_at.timestamp()),
        "metadata": dict(first.metadata),
    }
