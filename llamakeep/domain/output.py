"""
Answers as lists of items, and as one growing text.

An item is text, reasoning, a refusal or a tool call. Each grows at its end only, and
the next one begins when it is complete. So a whole answer can be read as one text, the
*tape*: the texts of all items, with `MARK` where an item begins. An answer that begins
with text has no mark there, so that the tape of text alone is that text.

A position in an answer is a number of characters of its tape.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from llamakeep.domain.messages import Reasoning, Refusal, Text, ToolCall

MARK = "\0"
"""No text that is stored has this character."""

Item = Text | Reasoning | Refusal | ToolCall


def tape_of(output: Sequence[Item], response: str) -> str:
    """
    Return the tape of an answer.

    Args:
        output: Its items; none if it is text alone.
        response: Its text.
    """
    if not output:
        return response
    tape = "".join([MARK + item.text for item in output])
    return tape[1:] if isinstance(output[0], Text) else tape


def heads_of(output: Sequence[Item]) -> Sequence[Item]:
    """Return the items that have a mark in the tape, without their texts."""
    marked = output[1:] if output and isinstance(output[0], Text) else output
    return [
        Text() if isinstance(item, Text) else replace(item, text="") for item in marked
    ]


def items_of(tape: str, heads: Sequence[Item]) -> Sequence[Item]:
    """Return the items of a tape; none if it is text alone."""
    if not heads:
        return ()
    first, *texts = tape.split(MARK)
    begin = [Text(first)] if first else []
    marked = [replace(head, text=text) for head, text in zip(heads, texts, strict=True)]
    return (*begin, *marked)


def slices_of(
    tape: str, heads: Sequence[Item], start: int = 0
) -> Iterator[tuple[Item | None, str]]:
    """
    Yield a tape from `start` on, item by item.

    Yields:
        The head of an item that begins, or `None` for the rest of one that began
        before `start`, and its text.
    """
    rest, *texts = tape[start:].split(MARK)
    if rest:
        yield None, rest
    begun = len(heads) - len(texts)
    yield from zip(heads[begun:], texts, strict=True)
