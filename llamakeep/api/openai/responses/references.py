"""Resolving item references in a request's input."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from llamakeep.api.openai.responses.items import (
    CALL,
    MESSAGE,
    OUTPUT,
    REASONING,
    find_item,
    run_id_in,
    size_of,
)
from llamakeep.api.prompts.reading import invalid
from llamakeep.domain import Run
from llamakeep.errors import ContextTooLarge, InvalidRequest, RunNotFound

MOST_REFERENCES = 100
"""How many references a request may have, since each is looked up."""

_ID = re.compile(
    rf"(?:{MESSAGE}|{REASONING}|{CALL}|{OUTPUT})[0-9a-z]{{26}}(?:_o?[0-9]{{1,6}})?"
)


async def dereferenced(
    given: Any, find_run: Callable[[str], Awaitable[Run]], *, most: int
) -> Any:
    """
    Return the input of a request with its references replaced by the items.

    Each item may be named once, so that a small request cannot store large texts many
    times over.

    Raises:
        InvalidRequest: A reference names no item of the user's history, or one that
            another reference names.
        ContextTooLarge: The items have more than `most` bytes.
    """
    if not isinstance(given, list):
        return given
    named = _named(given)
    by_run: dict[str, list[str]] = {}
    for item_id in named:
        by_run.setdefault(run_id_in(item_id), []).append(item_id)
    found = list(given)
    for run_id, item_ids in by_run.items():
        try:
            run = await find_run(run_id)
        except RunNotFound:
            raise _unknown(named[item_ids[0]]) from None
        if not run.store:
            raise invalid(
                f"input.{named[item_ids[0]]}.id",
                "The texts of this response are not to be stored, or are erased: no "
                "other request can have them from it. Send the item itself.",
            )
        for item_id in item_ids:
            item = find_item(run, item_id)
            if item is None:
                raise _unknown(named[item_id])
            found[named[item_id]] = item
            most -= size_of(item)
            if most < 0:
                raise ContextTooLarge(
                    "The items that the request refers to have more text than a "
                    "request may bring along. Nothing was stored. Refer to fewer, or "
                    "continue a response with `previous_response_id`."
                )
    return found


def is_item_id(given: str) -> bool:
    """Return whether a text has the format of an item's id."""
    return _ID.fullmatch(given) is not None


def _named(given: list[Any]) -> dict[str, int]:
    """Return the ids of the referenced items, each with its place in the input."""
    places = [place for place, item in enumerate(given) if _is_reference(item)]
    if len(places) > MOST_REFERENCES:
        raise invalid("input", f"It may refer to {MOST_REFERENCES} items at most.")
    named: dict[str, int] = {}
    for place in places:
        item_id = given[place].get("id")
        if not isinstance(item_id, str) or not is_item_id(item_id):
            raise _unknown(place)
        if item_id in named:
            raise invalid(
                f"input.{place}.id",
                f"The item is named already, by input.{named[item_id]}. Leave it out.",
            )
        named[item_id] = place
    return named


def _is_reference(item: Any) -> bool:
    return isinstance(item, Mapping) and (
        item.get("type") == "item_reference" or item.keys() == {"id"}
    )


def _unknown(place: int) -> InvalidRequest:
    return invalid(
        f"input.{place}.id",
        "There is no such item in your history. Send the item itself.",
    )
