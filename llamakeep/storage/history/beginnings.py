"""
Beginnings of runs: what a list shows of them, whatever their texts have.

The database cuts the texts, so that megabytes are neither read nor sent.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Row,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    type_coerce,
)

from llamakeep.domain import Message, Parameters, Run
from llamakeep.domain.messages import TYPES, Unsaid
from llamakeep.storage.database.tables import runs
from llamakeep.storage.runs.parts import Stored, read_message, read_output
from llamakeep.storage.runs.rows import NAMES, READ, to_run

MOST_ITEMS = 16
"""Items of an answer, and parts of a message, that are shown."""
FACTS = 16 * 1024
"""Characters read of the JSON that has them."""
DETAIL = 1000
"""Characters of an error's detail."""

_decoder = json.JSONDecoder()
_GAP = re.compile(r"[\s,]*")
_LONGEST_ESCAPE = len(r"\ud83e")


class Sizes(NamedTuple):
    """Bytes of whole texts; to count their characters, they would have to be read."""

    prompt: int
    response: int
    system_prompt: int | None


class Beginning(NamedTuple):
    """A run without what is long."""

    run: Run
    """Without prior messages and parameters, unless it is whole."""
    sizes: Sizes | None = None
    """`None`: it is whole."""
    is_cut: bool = False
    """Whether its texts or items have more than the run here."""


def _cut(column: ColumnElement[Any], length: str = "length") -> ColumnElement[str]:
    return func.substr(column, 1, bindparam(length))


def _facts(column: ColumnElement[Any]) -> ColumnElement[str]:
    written = cast(column, Text)
    return type_coerce(func.substr(written, 1, literal_column(str(FACTS + 1))), Text)


_READ_AS: Mapping[str, ColumnElement[Any]] = {
    "prompt": _cut(runs.c.prompt),
    "response": _cut(runs.c.response),
    "system_prompt": _cut(runs.c.system_prompt),
    "error_detail": func.substr(runs.c.error_detail, 1, literal_column(str(DETAIL))),
    "earlier": literal_column("NULL"),
    "parameters": literal_column("NULL"),
    "last_message": _facts(runs.c.last_message),
    "output": _facts(runs.c.output),
}
COLUMNS = (
    *(_READ_AS.get(each.name, each).label(each.name) for each in READ),
    func.octet_length(runs.c.prompt).label("size_of_prompt"),
    func.octet_length(runs.c.response).label("size_of_response"),
    func.octet_length(runs.c.system_prompt).label("size_of_system_prompt"),
)
"""The columns for `to_beginning`; `length` is a parameter, in characters."""

_PROMPT, _RESPONSE, _LAST, _OUTPUT, _PARAMETERS = map(
    NAMES.index, ("prompt", "response", "last_message", "output", "parameters")
)


def to_beginning(row: Row[Any]) -> Beginning:
    """Convert a row of `COLUMNS`."""
    facts = [*row[: len(READ)]]
    sizes = Sizes(*row[len(READ) :])
    message, items = facts[_LAST], facts[_OUTPUT]
    facts[_LAST] = facts[_OUTPUT] = None
    facts[_PARAMETERS] = {}
    run = to_run(facts)
    texts = run.prompt, run.response, run.system_prompt or ""
    is_cut = any(
        len(text.encode()) < (size or 0)
        for text, size in zip(texts, sizes, strict=True)
    )
    run = replace(
        run,
        last_message=message and _read_message(message, run.prompt),
        output=read_output(_items(items), run.response) if items else (),
    )
    is_cut = is_cut or any(len(each or "") > FACTS for each in (message, items))
    return Beginning(run, sizes, is_cut)


def shortened(found: Beginning, length: int) -> Beginning:
    """Return a run with no more than `length` characters of each text."""
    run = found.run
    last, shown = run.last_message, run.output[:MOST_ITEMS]
    items = [_shortened(item, length) for item in shown]
    short = replace(
        run,
        prompt=run.prompt[:length],
        response=run.response[:length],
        system_prompt=run.system_prompt and run.system_prompt[:length],
        last_message=last and _short_message(last, length),
        output=items,
        prior_messages=(),
        parameters=Parameters(),
    )
    is_cut = (
        found.is_cut
        or items != list(run.output)
        or short.last_message != last
        or (short.prompt, short.response) != (run.prompt, run.response)
        or short.system_prompt != run.system_prompt
    )
    return Beginning(short, found.sizes, is_cut)


def beginning_of(run: Run, length: int) -> Beginning:
    """Return the beginning of a run that is in memory."""
    system = run.system_prompt
    sizes = Sizes(
        len(run.prompt.encode()),
        len(run.response.encode()),
        None if system is None else len(system.encode()),
    )
    return shortened(Beginning(run, sizes), length)


def _short_message(message: Message, length: int) -> Message:
    parts = [_shortened(part, length) for part in message.parts[:MOST_ITEMS]]
    return replace(message, content=message.content[:length], parts=tuple(parts))


def _shortened(part: Any, length: int) -> Any:
    """Return a part with the beginning of its text, and without what no one reads."""
    short: dict[str, Any] = {}
    if len(part.text) > length:
        # An image's text is its address.
        name = "url" if hasattr(part, "url") else "text"
        short[name] = part.text[:length]
    for name in ("logprobs", "sealed"):
        if getattr(part, name, None) is not None:
            short[name] = None
    return replace(part, **short) if short else part


def _read_message(written: str, prompt: str) -> Message:
    if len(written) <= FACTS:
        role, *more = json.loads(written)
        return read_message(role, prompt, *more)
    role, _ = _decoder.raw_decode(written, 1)
    return Message(role, prompt)


def _items(written: str) -> Stored:
    if len(written) <= FACTS:
        items: Stored = json.loads(written)
        return items
    return [*_whole_ones(written)]


def _whole_ones(written: str) -> Iterator[dict[str, Any]]:
    """Yield the items at the start of a list that is cut, and what is left of one."""
    at = 1
    while True:
        match = _GAP.match(written, at)
        at = match.end() if match else at
        try:
            item, at = _decoder.raw_decode(written, at)
        except ValueError:
            break
        yield item
    if (last := _completed(written[at:])) is not None:
        yield last


def _completed(written: str) -> dict[str, Any] | None:
    """Return what there is of an item that was cut within its text, or before it."""
    for dropped in range(2 * _LONGEST_ESCAPE):
        end = len(written) - dropped
        try:
            item: dict[str, Any] = json.loads(written[:end] + '"}')
        except ValueError:
            continue
        if item.get("type") not in TYPES:
            return None
        if not issubclass(TYPES[item["type"]], Unsaid):
            # It was cut before its length: it is as long as what is left of the text.
            return {"type": item["type"], "length": FACTS**2}
        if "text" not in item:
            return None
        # Half of a character that JSON writes as two.
        item["text"] = item["text"].encode(errors="ignore").decode()
        return item
    return None
