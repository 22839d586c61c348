"""Items that a request only names, since it got them, or sent them, before."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from llamakeep.api.openai.content import invalid
from llamakeep.api.openai.ids import RUN
from llamakeep.api.openai.responses.items import items_sent, output_item
from llamakeep.domain import Run
from llamakeep.errors import RunNotFound

MOST_REFERENCES = 100
"""Each of them is looked up."""

_ID = re.compile(r"msg_([0-9a-z]{26})(?:_([0-9]{1,4}))?")


async def dereferenced(given: Any, find_run: Callable[[str], Awaitable[Run]]) -> Any:
    """
    Return the input of a request with the items that its references name.

    Args:
        given: The input, of whatever kind.
        find_run: Returns the user's run of an id, or raises `RunNotFound`.

    Raises:
        InvalidRequest: A reference names no item of the user's history.
    """
    if not isinstance(given, list):
        return given
    places = [place for place, item in enumerate(given) if _is_reference(item)]
    if len(places) > MOST_REFERENCES:
        raise invalid("input", f"It may refer to {MOST_REFERENCES} items at most.")
    found = list(given)
    for place in places:
        found[place] = await _item(given[place].get("id"), place, find_run)
    return found


def _is_reference(item: Any) -> bool:
    return isinstance(item, Mapping) and (
        item.get("type") == "item_reference" or item.keys() == {"id"}
    )


async def _item(
    item_id: Any, place: int, find_run: Callable[[str], Awaitable[Run]]
) -> Mapping[str, Any]:
    unknown = invalid(
        f"input.{place}.id",
        "There is no such item in your history. Send the message itself.",
    )
    match = _ID.fullmatch(item_id) if isinstance(item_id, str) else None
    if match is None:
        raise unknown
    try:
        run = await find_run(RUN + match[1])
    except RunNotFound:
        raise unknown from None
    if match[2] is None:
        return output_item(run, "completed")
    sent = {item["id"]: item for item in items_sent(run)}
    if item_id not in sent:
        raise unknown
    return sent[item_id]
