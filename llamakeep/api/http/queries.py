"""
Refusing query parameters that are unknown, repeated or empty.

FastAPI ignores them. A DELETE with a misspelt filter would then delete everything.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from enum import Enum, auto
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from llamakeep.api.http.headers import PARAMETER_REPEATED
from llamakeep.api.http.problems import PARAMETER_EMPTY
from llamakeep.errors import FieldError, InvalidRequest

MOST_NAMED = 8
"""How many invalid parameters a response names."""
LONGEST_NAME = 64

VERSION = "api-version"
"""A parameter that Azure OpenAI's clients add to every request; it is ignored."""

DEEP_OBJECT = "deepObject"
"""The style of a parameter that is an object, as OpenAPI calls it."""

SEARCH = "q"
"""The one parameter that may be empty, since a page's search box may be."""


class Queries(Enum):
    """How an API treats unknown query parameters."""

    OWN = auto()
    """Refuse them."""
    VENDORS = auto()
    """
    Refuse them on routes that have filters or delete, else ignore them: clients of
    vendors' APIs may send parameters that this server does not know.
    """
    ANY = auto()
    """Ignore them."""


def check_of(route: APIRoute, rule: Queries) -> "QueryCheck | None":
    """Return the check of a route's query parameters, if it needs one."""
    known = list(_parameters(route.dependant))
    if rule is Queries.ANY or (
        rule is Queries.VENDORS and not known and "DELETE" not in (route.methods or ())
    ):
        return None
    documented = (route.openapi_extra or {}).get("parameters", ())
    return QueryCheck(
        {parameter.alias: _is_list(parameter) for parameter in known},
        ignored={VERSION} if rule is Queries.VENDORS else set(),
        objects=[one["name"] for one in documented if one.get("style") == DEEP_OBJECT],
    )


class QueryCheck:
    """
    A dependency that checks query parameters.

    It is a route's last one, so that authentication fails first. Of each of the route's
    parameters, `known` says whether it may be repeated. Of those that are `objects`,
    each field is a parameter: `object[field]`.
    """

    def __init__(
        self,
        known: dict[str, bool],
        *,
        ignored: Iterable[str] = (),
        objects: Iterable[str] = (),
    ) -> None:
        self._known = known
        self._ignored = frozenset(ignored)
        self._objects = frozenset(objects)

    async def __call__(self, request: Request) -> None:
        """
        Check a request's query parameters.

        Raises:
            InvalidRequest: It names the invalid ones.
        """
        if not request.scope["query_string"]:
            return
        if wrong := self._wrong(request):
            if request.method == "DELETE":
                last = wrong[-1]
                message = f"{last.message} Nothing was deleted."
                wrong[-1] = FieldError(last.field, message)
            raise InvalidRequest(errors=wrong)

    def _wrong(self, request: Request) -> list[FieldError]:
        may_search_nothing = request.method != "DELETE"
        given: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            given.setdefault(name, []).append(value)
        wrong = []
        for name, values in given.items():
            message = None
            if name in self._ignored:
                continue
            is_field = name.endswith("]") and name.partition("[")[0] in self._objects
            if name not in self._known and not is_field:
                message = self._unknown(name)
            elif len(values) > 1 and not self._known.get(name):
                message = PARAMETER_REPEATED
            elif not (may_search_nothing and name == SEARCH) and not all(
                value.strip() for value in values
            ):
                message = PARAMETER_EMPTY
            if message is not None:
                wrong.append(FieldError(f"query.{name[:LONGEST_NAME]}", message))
            if len(wrong) == MOST_NAMED:
                break
        return wrong

    def _unknown(self, name: str) -> str:
        message = "There is no such query parameter"
        by_spelling = {known.lower(): known for known in self._known}
        near = get_close_matches(name[:LONGEST_NAME].lower(), by_spelling, n=1)
        if near:
            return f"{message}. Did you mean `{by_spelling[near[0]]}`?"
        if not self._known:
            return f"{message}; this route takes none. Leave it out."
        names = ", ".join(f"`{known}`" for known in self._known)
        return f"{message}; there are: {names}."


def _parameters(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.query_params
    for each in dependant.dependencies:
        yield from _parameters(each)


def _is_list(parameter: Any) -> bool:
    annotation = parameter.field_info.annotation
    return any(get_origin(each) is list for each in (annotation, *get_args(annotation)))
