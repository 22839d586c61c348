"""What clients send back with an assistant's message, as its server gave it."""

from collections.abc import Iterator, Mapping
from typing import Any

from llamakeep.api.prompts.reading import checked_json, invalid, required_text
from llamakeep.domain import Reasoning
from llamakeep.providers.openai.sealed import (
    DETAILS,
    EXTRA,
    as_json,
    sealed_details,
    sealed_extra,
)


def thoughts_in(given: Mapping[str, Any], where: str) -> Iterator[Reasoning]:
    """
    Yield the reasoning of a message, and what belongs to it.

    Raises:
        InvalidRequest: It cannot be read, or no database can store it.
    """
    details = given.get(DETAILS) or []
    if not isinstance(details, list):
        raise invalid(f"{where}.{DETAILS}", "It has to be a list of objects.")
    thoughts = given.get("reasoning_content")
    if thoughts and not any(_text_of(detail) for detail in details):
        yield Reasoning(required_text(thoughts, f"{where}.reasoning_content"))
    for index, detail in enumerate(details):
        place = f"{where}.{DETAILS}[{index}]"
        _check(detail, place)
        if text := _text_of(detail):
            yield Reasoning(text)
        for sealed in sealed_details([detail]):
            yield Reasoning(sealed=sealed.text)
    if extra := given.get(EXTRA):
        _check(extra, f"{where}.{EXTRA}")
        yield Reasoning(sealed=sealed_extra(as_json(extra)).text)


def handed_back_with(
    call: Mapping[str, Any], call_id: str, where: str
) -> Iterator[Reasoning]:
    """
    Yield what a client sends back with a call, if there is anything.

    Raises:
        InvalidRequest: It is no object, or none that databases can store.
    """
    if extra := call.get(EXTRA):
        _check(extra, f"{where}.{EXTRA}")
        yield Reasoning(sealed=sealed_extra(as_json(extra), call_id).text)


def _text_of(detail: Any) -> str:
    if not isinstance(detail, dict):
        return ""
    text = detail.get("text") or detail.get("summary")
    return text if isinstance(text, str) else ""


def _check(given: Any, where: str) -> None:
    if not isinstance(given, dict):
        raise invalid(where, "It has to be an object.")
    checked_json(given, where)
