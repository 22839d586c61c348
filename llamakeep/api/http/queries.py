"""
Query parameters that a route does not have, has twice, or has without a value.

FastAPI ignores them. A misspelt filter would then let everything through, and on DELETE
that is final.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from enum import Enum, auto
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from llamakeep.api.http.problems import PARAMETER_EMPTY, PARAMETER_REPEATED
from llamakeep.errors import FieldError, InvalidRequest

MOST_NAMED = 8
"""How many wrong parameters are named at once."""
LONGEST_NAME = 64

VERSION = "api-version"
"""What clients of Azure's OpenAI add to every request; it changes nothing here."""

SEARCH = "q"
"""What the search box of a page may send empty."""


class Queries(Enum):
    """What is done about query parameters that a route does not have."""

    OWN = auto()
    """Our own API refuses them."""
    VENDORS = auto()
    """
    An API that other people's clients were written for refuses them where they could
    filter or delete, and ignores them elsewhere: clients may send more than we know.
    """
    ANY = auto()
    """They are ignored."""


def check_of(route: APIRoute, rule: Queries) -> "QueryCheck | None":
    """Return what looks at a route's query parameters, if anything has to."""
    known = list(_parameters(route.dependant))
    if rule is Queries.ANY or (
        rule is Queries.VENDORS and not known and "DELETE" not in (route.methods or ())
    ):
        return None
    return QueryCheck(
        {parameter.alias: _is_list(parameter) for parameter in known},
        ignored={VERSION} if rule is Queries.VENDORS else set(),
    )


class QueryCheck:
    """
    A dependency that comes after all others: who may not come in learns that first.

    Args:
        known: The names of a route's query parameters, each with whether it may be
            repeated.
        ignored: Names that say nothing.
    """

    def __init__(self, known: dict[str, bool], *, ignored: Iterable[str] = ()) -> None:
        self._known = known
        self._ignored = frozenset(ignored)

    async def __call__(self, request: Request) -> None:
        """
        Look at a request's query parameters.

        Raises:
            InvalidRequest: It names them; nothing was done.
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
            if name not in self._known:
                message = self._unknown(name)
            elif len(values) > 1 and not self._known[name]:
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
