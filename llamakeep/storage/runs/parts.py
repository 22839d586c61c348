"""
Parts of messages and answers, as rows have them.

What is said to the reader (`said_in`) is in a column of its own, or in the message's
content; here, such parts have only the length of their text.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from llamakeep.domain import Image, Item, Message, Part
from llamakeep.domain.messages import Unsaid, part_of, written

Stored = Sequence[dict[str, Any]]


def stored(parts: Iterable[Part]) -> Stored:
    """Return parts without what is said in them."""
    return [_stored(part) for part in parts]


def read(parts: Stored, said: str) -> Sequence[Part]:
    """
    Return the parts of a row.

    Args:
        parts: As `stored` returned them.
        said: What is said in them; if it was not read, their texts are empty.
    """
    found: list[Part] = []
    at = 0
    has_said = is_apart = False
    for facts in parts:
        if "length" not in facts:
            part = part_of(facts)
            found.append(part)
            is_apart = is_apart or (has_said and isinstance(part, Image))
            continue
        at += is_apart  # a line of its own
        has_said, is_apart = True, False
        text = said[at : at + facts["length"]]
        at += facts["length"]
        kept = {name: value for name, value in facts.items() if name != "length"}
        found.append(part_of({**kept, "text": text}))
    return tuple(found)


def read_output(items: Stored, response: str) -> Sequence[Item]:
    """Return the items of a row's answer, as `read` does."""
    return cast("Sequence[Item]", read(items, response))


def stored_message(message: Message) -> Sequence[Any]:
    """Return a message's role and content, and its name and parts if it has them."""
    facts: list[Any] = [message.role, message.content]
    if message.name is not None or message.parts:
        facts.append(message.name)
    if message.parts:
        facts.append(stored(message.parts))
    return facts


def read_message(
    role: Any, content: str, name: str | None = None, parts: Stored = ()
) -> Message:
    """Return the message that `stored_message` took apart."""
    return Message(role, content, name, read(parts, content) if parts else ())


def _stored(part: Part) -> dict[str, Any]:
    facts: dict[str, Any] = written(part)
    if not isinstance(part, Unsaid):
        facts["length"] = len(facts.pop("text"))
    return facts
