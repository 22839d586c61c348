"""
Messages, and the parts that they have beside text.

Parts are also the items of an answer: see `output.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]

LONGEST_NAME = 256
"""Characters of the name of who said a message, of a tool, and of a call's id."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text, for everyone to read."""

    text: str = ""
    logprobs: str | None = None
    """
    How likely its tokens were, where that was asked for: a JSON list.

    Its elements are those of OpenAI's chat completions.
    """


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thinks before it answers."""

    text: str = ""
    sealed: str | None = None
    """
    What its server wants to be handed back as it came, such as a signature.

    Such reasoning has no text; it belongs to the message that it is a part of.
    """


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model does not do what it was asked for."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's request to call a tool of the client's."""

    call_id: str
    name: str
    text: str = ""
    """The arguments as the model wrote them, also where they are not JSON."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned."""

    call_id: str
    text: str = ""
    has_failed: bool = False

    @property
    def told(self) -> str:
        """What a model reads, whose API has no other place for a failure."""
        return f"Error: {self.text}" if self.has_failed else self.text


Part = Text | Reasoning | Refusal | ToolCall | ToolResult
TYPES: Mapping[str, type[Part]] = {
    "text": Text,
    "reasoning": Reasoning,
    "refusal": Refusal,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
}
"""Types of parts, by their names in what is stored and shown."""
_NAMES = {made: name for name, made in TYPES.items()}
_RARE = ("sealed", "logprobs")
_FIELDS = {made: tuple(each.name for each in fields(made)) for made in _NAMES}


@dataclass(frozen=True, slots=True)
class Message:
    """One utterance."""

    role: Role
    content: str
    """The text alone."""
    name: str | None = None
    """Who said it, where several have the same role; not all providers can be told."""
    parts: Sequence[Part] = ()
    """All parts in their order; empty if there is text alone."""

    @property
    def texts(self) -> Sequence[str]:
        """All that is in it, without names."""
        return [each.text for each in self.parts] or [self.content]


Unsaid = Reasoning | ToolCall
"""Parts that are not for the reader of an answer: they are not in its text."""


def message_of(role: Role, parts: Sequence[Part], name: str | None = None) -> Message:
    """Return the message of some parts."""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return Message(role, parts[0].text, name)
    return Message(role, said_in(parts), name, tuple(parts))


def said_in(parts: Iterable[Part]) -> str:
    """Return what is said to the reader in some parts: texts, refusals and results."""
    return "".join([each.text for each in parts if not isinstance(each, Unsaid)])


def written(part: Part) -> dict[str, Any]:
    """Return a part as JSON has it; `part_of` reads it."""
    facts = {name: getattr(part, name) for name in _FIELDS[type(part)]}
    if facts.get("has_failed") is False:
        del facts["has_failed"]
    for name in _RARE:
        if facts.get(name, "") is None:
            del facts[name]
    return {"type": _NAMES[type(part)], **facts}


def part_of(facts: Mapping[str, Any]) -> Part:
    """
    Return the part that `written` made.

    Raises:
        KeyError: There is no such type.
        TypeError: A field is unknown or missing.
    """
    return TYPES[facts["type"]](
        **{name: value for name, value in facts.items() if name != "type"}
    )
