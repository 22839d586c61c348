"""
Anthropic's models API, for clients that send the header `anthropic-version`.

It has the paths of OpenAI's, which answers all others.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from llamakeep.api.anthropic.wire import VERSION, json_response
from llamakeep.api.dependencies import CurrentUser
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.prompts.reading import invalid
from llamakeep.services import services_of

_UNKNOWN = "1970-01-01T00:00:00Z"
"""When a model was made; Anthropic says this, too, where it is not known."""


class _VersionedRoute(APIRoute):
    """A route for clients of Anthropic's API alone."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if all(name != VERSION.encode() for name, _ in scope["headers"]):
            return Match.NONE, {}
        return super().matches(scope)


router = Router(prefix="/v1/models", tags=["anthropic"], queries=Queries.ANY)
router.route_class = _VersionedRoute


@router.get("", response_class=Response, include_in_schema=False)
async def models(
    request: Request,
    user: CurrentUser,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    after_id: str | None = None,
    before_id: str | None = None,
) -> Response:
    """List the default model, aliases, and models that providers are known to serve."""
    services = services_of(request)
    allowed = services.access.listed(user, await services.models.described())
    known = [each.name for each in allowed]
    start, end = 0, len(known)
    if after_id is not None:
        start = _place(known, after_id, "query.after_id") + 1
    if before_id is not None:
        end = _place(known, before_id, "query.before_id")
        start = max(start, end - limit)
    page = known[start:end][:limit]
    has_more = start > 0 if before_id is not None else start + limit < end
    return json_response(
        {
            "data": [_model(name) for name in page],
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
            "has_more": has_more,
        }
    )


@router.get(
    "/{model:path}",
    response_class=Response,
    include_in_schema=False,
)
async def model(model: str, request: Request, user: CurrentUser) -> Response:
    """Return a model by its id here or its provider's name for it, or an alias."""
    services, asked = services_of(request), model.removesuffix("/")
    if asked in services.registry.aliases:
        known = await services.models.described()
        found = [each for each in known if each.name == asked]
        if not services.access.listed(user, found):
            raise services.access.refusal(user, asked)
        return json_response(_model(asked))
    provider, name = await services.access.find_model(user, asked)
    return json_response(_model(f"{provider.name}:{name}"))


def _place(known: Sequence[str], model: str, where: str) -> int:
    if model not in known:
        raise invalid(where, "It is the id of no model in the list.")
    return known.index(model)


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": _UNKNOWN,
        "max_input_tokens": None,
        "max_tokens": None,
        "capabilities": None,
    }
