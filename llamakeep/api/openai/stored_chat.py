"""Chat completions that are kept: listing, reading, tagging and deleting them."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import Query, Request, Response

from llamakeep import errors
from llamakeep.api.dependencies import DeletingUser, FollowingUser, ReadingUser
from llamakeep.api.http.links import origin_of
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.openai.errors import error_responses
from llamakeep.api.openai.forms import CHAT, ChatCompletion, said_of
from llamakeep.api.openai.lists import Limit, Order, listed, page_of, runs_before
from llamakeep.api.openai.responses.items import messages_sent
from llamakeep.api.openai.wire import json_response
from llamakeep.api.prompts.ids import RUN, id_of, run_id_of
from llamakeep.api.prompts.reading import checked, invalid
from llamakeep.api.prompts.schemas import LONG, long_response
from llamakeep.domain import Image, Message, Run, RunStatus, ToolResult, User
from llamakeep.domain.runs import CLIENT, length_of
from llamakeep.errors import RunNotFound
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import Metadata
from llamakeep.schemas.images import path_of
from llamakeep.schemas.text import Text
from llamakeep.services import services_of
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.listing import is_full
from llamakeep.storage.history.tags import LONGEST

router = Router(prefix="/v1/chat/completions", tags=["openai"], queries=Queries.VENDORS)

After = Annotated[Text | None, Query(max_length=64)]

MOST_TAGS = 16
_TAG = re.compile(r"metadata\[(.{1,64})\]", re.DOTALL)
_METADATA = {
    "name": "metadata",
    "in": "query",
    "description": "Pairs that all have to be in the metadata: `metadata[key]=value`.",
    "required": False,
    "style": "deepObject",
    "explode": True,
    "schema": {
        "type": "object",
        "maxProperties": MOST_TAGS,
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 512},
    },
}

_responses = error_responses(
    errors.Unauthenticated, errors.ScopeMissing, errors.RunNotFound
)
_invalid = error_responses(errors.InvalidRequest)


@router.get(
    "",
    response_class=Response,
    responses=error_responses(errors.Unauthenticated, errors.ScopeMissing) | _invalid,
    openapi_extra={"parameters": [_METADATA]},
)
async def completions(
    request: Request,
    user: ReadingUser,
    *,
    model: Annotated[Text | None, Query(max_length=300)] = None,
    order: Order = "asc",
    after: After = None,
    limit: Limit = 20,
) -> Response:
    """
    List the completions of all runs that succeeded, in pages.

    A page ends early where its texts are very long.
    """
    oldest_first = order == "asc"
    place = None if after is None else _place(after)
    found = await services_of(request).storage.history(
        user,
        before=None if oldest_first else place,
        after=place if oldest_first else None,
        oldest_first=oldest_first,
        matching=RunFilter(
            model=model,
            statuses={RunStatus.SUCCEEDED},
            tags=_tags_in(request),
        ),
        limit=limit + 1,
        is_page=True,
    )
    page = found[:limit]
    has_more = len(found) > limit or is_full(found)
    facts = listed([_stored(run) for run in page], has_more=has_more)
    return _sent(request, user, facts, length_of(page))


@router.get("/{completion_id}", response_class=Response, responses=_responses)
async def retrieve(
    completion_id: str, request: Request, user: FollowingUser
) -> Response:
    """
    Return a chat completion with its metadata; any run of the history is one.

    If the run did not succeed, `finish_reason` is null, and there is a `status`. One
    whose text was not to be stored has none after its end, and a `store` of `false`.
    """
    run_id = run_id_of(completion_id, CHAT)
    run = await services_of(request).storage.get_run(user, run_id)
    return json_response(_stored(run))


class CompletionChange(Form):
    """Changes to a chat completion."""

    metadata: Metadata | None
    """Up to 16 tags, which replace the completion's."""


@router.post(
    "/{completion_id}", response_class=Response, responses=_responses | _invalid
)
async def change(
    completion_id: str, body: CompletionChange, request: Request, user: ReadingUser
) -> Response:
    """Replace the metadata of a chat completion."""
    run_id = run_id_of(completion_id, CHAT)
    storage = services_of(request).storage
    run = await storage.set_metadata(user, run_id, body.metadata or {})
    return json_response(_stored(run))


@router.delete(
    "/{completion_id}", response_class=Response, responses=_responses | _invalid
)
async def delete(completion_id: str, request: Request, user: DeletingUser) -> Response:
    """Delete a completion permanently. An unfinished one is stopped first."""
    run_id = run_id_of(completion_id, CHAT)
    await services_of(request).engine.delete(user, run_id)
    return json_response(
        {
            "object": "chat.completion.deleted",
            "id": CHAT + run_id.removeprefix(RUN),
            "deleted": True,
        }
    )


@router.get(
    "/{completion_id}/messages",
    response_class=Response,
    responses=_responses | _invalid,
)
async def messages_read(
    completion_id: str,
    request: Request,
    user: FollowingUser,
    *,
    order: Order = "asc",
    after: After = None,
    limit: Limit = 20,
) -> Response:
    """List the messages that the model got, with the system prompt and prior ones."""
    storage = services_of(request).storage
    run = await storage.get_run(user, run_id_of(completion_id, CHAT))
    prior = await runs_before(request, user, run)
    page = page_of(
        list(_shown(run, prior, origin_of(request))),
        order=order,
        after=after,
        limit=limit,
        unknown="It is the id of no message of it.",
    )
    return json_response(page)


def _place(after: str) -> str:
    try:
        return run_id_of(after, CHAT)
    except RunNotFound:
        raise invalid("query.after", "It is no completion's id.") from None


def _tags_in(request: Request) -> tuple[str, ...]:
    """Return the tags that `metadata[key]=value` asks for."""
    tags = []
    for name, value in request.query_params.multi_items():
        if not name.startswith("metadata["):
            continue
        where = f"query.{name[:70]}"
        match = _TAG.fullmatch(name)
        if match is None:
            raise invalid(where, "Write it as `metadata[key]=value`.")
        tags.append(checked(f"{match[1]}:{value}", where)[:LONGEST])
    if len(tags) > MOST_TAGS:
        raise invalid("query.metadata", f"{MOST_TAGS} pairs are possible.")
    return tuple(dict.fromkeys(tags))


def _stored(run: Run) -> dict[str, Any]:
    more: dict[str, Any] = {"metadata": dict(run.metadata)}
    if not run.store:
        more["store"] = False
    if run.status is not RunStatus.SUCCEEDED:
        more["status"] = run.status
    return ChatCompletion(run).whole(run) | more


def _sent(request: Request, user: User, facts: dict[str, Any], length: int) -> Response:
    if length <= LONG:
        return json_response(facts)
    return long_response(request, user, facts, length)


def _shown(run: Run, prior: Sequence[Run], origin: str) -> Iterator[dict[str, Any]]:
    """Yield the messages that the model got for a run, each with an id."""
    number = 0
    for of, message in _messages(run, prior):
        for fields in _fields_of(message):
            yield {
                "id": f"{id_of(run, CHAT)}-{number}",
                "role": message.role,
                "name": message.name,
                "content_parts": _content_parts(of, message, origin),
                **fields,
            }
            number += 1


def _messages(run: Run, prior: Sequence[Run]) -> Iterator[tuple[Run, Message]]:
    """Yield the messages, each with the run that it is of."""
    if run.system_prompt is not None:
        yield run, Message("system", run.system_prompt)
    for one in (*prior, run):
        for message in messages_sent(one):
            yield one, message
        if one is not run and one.provider != CLIENT:
            yield one, Message("assistant", one.response, parts=one.output)


def _content_parts(
    run: Run, message: Message, origin: str
) -> list[dict[str, Any]] | None:
    """Return the texts and images of a message that has images."""
    if not any(isinstance(part, Image) for part in message.parts):
        return None
    shown: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Image):
            url = path_of(run.id, part)
            image: dict[str, Any] = {"url": url if part.url else f"{origin}{url}"}
            if part.detail is not None:
                image["detail"] = part.detail
            shown.append({"type": "image_url", "image_url": image})
        elif part.text:
            shown.append({"type": "text", "text": part.text})
    return shown


def _fields_of(message: Message) -> Iterator[dict[str, Any]]:
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        yield {"content": result.text, "tool_call_id": result.call_id}
    if message.role == "assistant" and message.parts:
        yield said_of(message.parts)
    elif not results:
        yield {"content": message.content, "refusal": None}
