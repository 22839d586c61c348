"""
Messages, and the parts that they have beside text.

Parts are also the items of an answer: see `output.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]

LONGEST_NAME = 256
"""Characters of the name of who said a message, and of a tool."""
LONGEST_CALL_ID = 32 * 1024
"""
Characters of a tool call's id.

Gateways put more into ids than a name: what a model signed, to get it handed back.
"""


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


@dataclass(frozen=True, slots=True)
class Image:
    """
    An image that a model looks at: one that is kept here, or an address.

    An address is handed to the model's server as it is; nothing here requests it.
    """

    sha256: str | None = None
    """Of its bytes, in hexadecimal; with it, there are `media_type` and `size`."""
    media_type: str | None = None
    size: int | None = None
    """In bytes."""
    url: str | None = None
    """Where it is, `https://…`, if it is not kept here."""
    detail: str | None = None
    """How exactly the model is to look, in the words of OpenAI's API."""
    data: bytes | None = field(default=None, compare=False, repr=False)
    """Its bytes, only where it comes with a request or a file."""

    @property
    def text(self) -> str:
        """Its address; without one, it has no text."""
        return self.url or ""


Part = Text | Reasoning | Refusal | ToolCall | ToolResult | Image
TYPES: Mapping[str, type[Part]] = {
    "text": Text,
    "reasoning": Reasoning,
    "refusal": Refusal,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
    "image": Image,
}
"""Types of parts, by their names in what is stored and shown."""
_NAMES = {made: name for name, made in TYPES.items()}
_FIELDS = {
    made: tuple(each.name for each in fields(made) if each.name != "data")
    for made in _NAMES
}


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


Unsaid = Reasoning | ToolCall | Image
"""Parts that are not in the text of a message or an answer."""


def message_of(role: Role, parts: Sequence[Part], name: str | None = None) -> Message:
    """Return the message of some parts."""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return Message(role, parts[0].text, name)
    return Message(role, said_in(parts), name, tuple(parts))


def images_in(messages: Iterable[Message]) -> Sequence[Image]:
    """Return the images in some messages, in their order."""
    return [
        part
        for message in messages
        for part in message.parts
        if isinstance(part, Image)
    ]


def without_data(message: Message) -> Message:
    """Return a message without the bytes of its images."""
    if not images_in([message]):
        return message
    parts = [
        replace(part, data=None) if isinstance(part, Image) else part
        for part in message.parts
    ]
    return replace(message, parts=tuple(parts))


def said_in(parts: Iterable[Part]) -> str:
    """
    Return what is said to the reader in some parts: texts, refusals and results.

    Two that an image is between are on lines of their own.
    """
    said: list[str] = []
    is_apart = False
    for part in parts:
        if isinstance(part, Image):
            is_apart = bool(said)
        elif not isinstance(part, Unsaid):
            if is_apart:
                said.append("\n")
                is_apart = False
            said.append(part.text)
    return "".join(said)


def written(part: Part) -> dict[str, Any]:
    """Return a part as JSON has it, without what is not known or false."""
    facts = {name: getattr(part, name) for name in _FIELDS[type(part)]}
    known = {
        name: fact
        for name, fact in facts.items()
        if fact is not None and fact is not False
    }
    return {"type": _NAMES[type(part)], **known}


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
