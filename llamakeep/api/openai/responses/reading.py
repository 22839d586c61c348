"""Reading the input of a request: a prompt, or a list of items."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from llamakeep.api.openai.calls import read_call
from llamakeep.api.openai.content import (
    has_images,
    said_and_refused,
    text_and_images,
    text_of,
)
from llamakeep.api.openai.messages import ROLES
from llamakeep.api.openai.responses.namespaces import NAMESPACE, whole_name
from llamakeep.api.openai.responses.summaries import summary_in
from llamakeep.api.prompts.reading import (
    OpenCalls,
    call_id_in,
    check_not_blank,
    invalid,
    more_than_text,
    name_of,
    named,
    required_text,
    unanswered,
    unreadable,
)
from llamakeep.domain import (
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Run,
    Text,
    ToolCall,
    ToolResult,
)
from llamakeep.domain.messages import message_of, said_in
from llamakeep.errors import UnsupportedParameter

_ECHOED = {"id", "type", "status", "phase", "parsed_arguments"}
"""
Fields of output items, which clients send back; they are ignored.

What OpenAI's library parsed is in the arguments, too.
"""
_FIELDS: Mapping[str, set[str]] = {
    "message": {"role", "content", "name"},
    "reasoning": {"summary", "content", "encrypted_content"},
    "function_call": {"call_id", "name", "arguments", NAMESPACE},
    "function_call_output": {"call_id", "name", "output", NAMESPACE},
    "compaction": {"encrypted_content", "created_by"},
}
_CALLER, _DIRECT = "caller", {"type": "direct"}
"""What made a call: the model itself, since no program here does."""
_THOUGHTS = {"content": "reasoning_text", "summary": "summary_text"}
"""The lists with the text of reasoning, each with the type of its parts."""


class Given(NamedTuple):
    """What the input of a request says."""

    prompt: str
    earlier: Sequence[Message] = ()
    last_message: Message | None = None
    """The last message, if it has more than the prompt."""
    check_followed: Callable[[Sequence[Run]], None] | None = None
    """Checks that the input answers the calls of the runs that it follows."""


class _Calls(OpenCalls):
    """Calls, whose outputs follow them as items."""

    # The first words are OpenAI's.
    missing = "No tool output found for function call {calls}."
    add_results = (
        'Right after the calls, add `{"type": "function_call_output", "call_id": …, '
        '"output": …}` for each.'
    )
    put_result = (
        "Put the output right after the item with its call, or continue the response "
        "that has it."
    )


def read_input(given: Any, *, is_continued: bool) -> Given:
    """
    Split the input of a request into the prompt and prior messages.

    Args:
        given: The input.
        is_continued: Whether it follows a response, whose calls it has to answer first.

    Raises:
        InvalidRequest: An item is invalid, a call lacks its output or an output its
            call, or the last item is not a prompt.
        UnsupportedParameter: An item has something that no model here can be told.
    """
    if isinstance(given, str):
        prompt = text_of(given, "input")
        check_not_blank(prompt, "input")
        check = _Reader(is_continued=True).check_followed if is_continued else None
        return Given(prompt, check_followed=check)
    if not isinstance(given, list) or not given:
        raise invalid("input", "It has to be a prompt, or a list of messages.")
    reader = _Reader(is_continued=is_continued)
    for index, item in enumerate(given):
        reader.read(item, f"input.{index}")
    reader.close()
    if not reader.messages:
        raise invalid("input", "There is no text in it. Add the user's message.")
    last = reader.messages.pop()
    where = f"input.{len(given) - 1}"
    if last.role == "assistant" and (last.parts or "role" not in given[-1]):
        raise invalid(
            where,
            "The last item is what is answered. An assistant's can only be a message "
            "with text, which the model continues: add a message of the role `user`.",
        )
    if last.role != "tool" and not last.parts:
        check_not_blank(last.content, f"{where}.content")
    return Given(
        last.content,
        tuple(reader.messages),
        more_than_text(last),
        reader.check_followed if is_continued else None,
    )


def read_items(given: Sequence[Any]) -> Sequence[Message]:
    """
    Read items that a client adds to a conversation.

    What the assistant says is a message for each part.

    Raises:
        InvalidRequest: One of them is invalid.
        UnsupportedParameter: One has something that no model here can be told.
    """
    messages: list[Message] = []
    for index, item in enumerate(given):
        reader = _Reader(is_continued=True)
        reader.read(item, f"items.{index}")
        for message in reader.read_so_far():
            if message.role == "assistant" and message.parts:
                messages += [
                    message_of("assistant", [part], message.name)
                    for part in message.parts
                ]
            else:
                messages.append(message)
    return messages


def place_of_tools(given: Any) -> str:
    """Return the path of the first call or output of a tool, in an input with one."""
    for index, item in enumerate(given if isinstance(given, list) else ()):
        if isinstance(item, Mapping) and item.get("call_id"):
            return f"input.{index}"
    return "input"


class _Reader:
    """Gathers items to messages."""

    def __init__(self, *, is_continued: bool) -> None:
        self.messages: list[Message] = []
        self._said: list[Message] = []
        """
        What the assistant says in the items before the next one, a message for each.

        With more than text in them, they are the parts of one message.
        """
        self._calls: dict[str, str] = {}
        """The ids of the calls in there, and where each is."""
        self._open: _Calls | None = None if is_continued else _Calls()
        """Calls that are to be answered; `None` for those of the response before."""
        self._outputs: dict[str, str] = {}
        """What answers calls of the response before: their ids, and where each is."""

    def read(self, item: Any, where: str) -> None:
        """
        Read the next item.

        Raises:
            InvalidRequest: It is invalid, or is not what has to follow.
            UnsupportedParameter: It has something that no model here can be told.
        """
        if not isinstance(item, Mapping):
            raise invalid(
                where,
                'An item is an object such as `{"role": "user", "content": "…"}`.',
            )
        kind = item.get("type", "message")
        if not isinstance(kind, str) or kind not in _FIELDS:
            raise UnsupportedParameter(
                f"{where}: the models here read messages, reasoning, calls of "
                "functions, their outputs and compactions, and no items of the type "
                f"{str(kind)[:64]!a}. Nothing was stored. Leave it out.",
                parameters=[f"{where}.type"],
            )
        for field in item.keys() - _FIELDS[kind] - _ECHOED:
            if item[field] and (field, item[field]) != (_CALLER, _DIRECT):
                raise unreadable(field, where)
        match kind:
            case "message":
                self._read_message(item, where)
            case "reasoning":
                if thoughts := _reasoning(item, where):
                    self._say(thoughts)
            case "function_call":
                self._say([self._call(item, where)])
            case "compaction":
                place = f"{where}.encrypted_content"
                self._say([summary_in(item.get("encrypted_content"), place)])
            case _:
                self._answer(item, where)

    def close(self) -> None:
        """
        Read the end of the input, or what neither the assistant nor a tool says.

        Raises:
            InvalidRequest: A call lacks its output.
        """
        self._gather()
        if self._open is not None:
            self._open.check_answered()
        self._open = _Calls()

    def read_so_far(self) -> Sequence[Message]:
        """Return the messages of the items, whatever has to follow."""
        self._gather()
        return self.messages

    def check_followed(self, prior: Sequence[Run]) -> None:
        """
        Check that the input begins with the outputs of the calls that it follows.

        Args:
            prior: The runs that it follows, oldest first.

        Raises:
            InvalidRequest: A call lacks its output, or an output its call.
        """
        calls = _Calls("input", unanswered(prior))
        for call_id, where in self._outputs.items():
            calls.take(call_id, where)
        calls.check_answered()

    def _read_message(self, item: Mapping[str, Any], where: str) -> None:
        role = item.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise invalid(f"{where}.role", f"It has to be one of {', '.join(ROLES)}.")
        name = name_of(item.get("name"), f"{where}.name")
        content, place = item.get("content"), f"{where}.content"
        if role == "assistant":
            said, refused = said_and_refused(content, place)
            parts: list[Part] = [Text(said)] if said or not refused else []
            self._say(parts + ([Refusal(refused)] if refused else []), name)
            return
        self.close()
        if role == "user" and has_images(content):
            shown = text_and_images(content, place)
            self.messages.append(message_of("user", shown, name))
            return
        self.messages.append(Message(ROLES[role], text_of(content, place), name))

    def _say(self, parts: Sequence[Part], name: str | None = None) -> None:
        if name is not None:
            self._gather()
        if self._open is not None:
            self._open.check_answered()
        self._open = _Calls()
        self._said.append(message_of("assistant", parts, name))

    def _call(self, item: Mapping[str, Any], where: str) -> ToolCall:
        call_id = call_id_in(item.get("call_id"), f"{where}.call_id")
        if namespace := item.get(NAMESPACE):
            name = whole_name(
                named(namespace, f"{where}.{NAMESPACE}"),
                named(item.get("name"), f"{where}.name"),
            )
            item = {**item, "name": name}
        call = read_call(item, call_id, where)
        if (first := self._calls.setdefault(call_id, where)) != where:
            raise invalid(
                f"{where}.call_id", f"{first} has this id, too. Give each its own."
            )
        return call

    def _answer(self, item: Mapping[str, Any], where: str) -> None:
        self._gather()
        place = f"{where}.call_id"
        call_id = call_id_in(item.get("call_id"), place)
        if self._open is not None:
            self._open.take(call_id, place)
        elif (first := self._outputs.setdefault(call_id, place)) != place:
            raise invalid(
                place, f"{first} is of this call, too. Send one output of each."
            )
        output = item.get("output")
        name = name_of(item.get("name"), f"{where}.name")
        parts = [*_returned(output, call_id, f"{where}.output")]
        self.messages.append(message_of("tool", parts, name))

    def _gather(self) -> None:
        """Make messages of what the assistant says."""
        said, self._said = self._said, []
        if not said:
            return
        if not any(one.parts for one in said):
            self.messages += said
            return
        parts: list[Part] = []
        for one in said:
            parts += one.parts or [Text(one.content)]
        self.messages.append(message_of("assistant", parts, said[0].name))
        if self._calls:
            [*places] = self._calls.values()
            self._open = _Calls(f"{places[0]}.call_id", parts)
            self._calls = {}


def _reasoning(item: Mapping[str, Any], where: str) -> Sequence[Part]:
    """Return what the model thought, and what its server wants back with it."""
    thoughts = _thoughts(item, where)
    parts: list[Part] = [Reasoning(thoughts)] if thoughts else []
    sealed = item.get("encrypted_content")
    if sealed not in (None, ""):
        place = f"{where}.encrypted_content"
        parts.append(Reasoning(sealed=required_text(sealed, place)))
    return parts


def _returned(output: Any, call_id: str, where: str) -> Iterator[Part]:
    """Yield the text that a tool returned, and after it the images."""
    if not has_images(output):
        text = "" if output == [] else text_of(output, where)
        yield ToolResult(call_id, text)
        return
    parts = text_and_images(output, where)
    yield ToolResult(call_id, said_in(parts))
    yield from [part for part in parts if isinstance(part, Image)]


def _thoughts(item: Mapping[str, Any], where: str) -> str:
    """Return the text of reasoning, or else its summary."""
    for field, kind in _THOUGHTS.items():
        parts = item.get(field) or []
        if not isinstance(parts, list):
            raise invalid(f"{where}.{field}", "It has to be a list of parts with text.")
        texts = []
        for index, part in enumerate(parts):
            place = f"{where}.{field}[{index}]"
            if not isinstance(part, Mapping) or part.get("type") != kind:
                raise invalid(place, f"It has to be a part of the type `{kind}`.")
            texts.append(required_text(part.get("text"), f"{place}.text"))
        if texts:
            return "\n".join(texts)
    return ""
