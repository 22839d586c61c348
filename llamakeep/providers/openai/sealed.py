"""
What a model's server wants back with its reasoning, as it came: signatures, ciphertext.

It is kept as JSON, which only the server understands, in reasoning without text:

- `{"reasoning_details": [...]}`, as OpenRouter has it. The text of a detail is left out
  if the reasoning before it is that text.
- `{"extra_content": {...}, "call_id": "..."}`, as Gemini has it: of a tool call, or
  without one of the whole message.
- `{"encrypted_content": "...", "id": "..."}`, as OpenAI's Responses API has it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from llamakeep.domain import Part, Reasoning

DETAILS, EXTRA = HANDED_BACK = "reasoning_details", "extra_content"
ENCRYPTED = "encrypted_content"
_SECRETS = ("signature", "data")
"""The fields of a detail for which it has to be handed back."""
_TEXTS = ("text", "summary")
_MOST_DEPTH = 8


class Sealed(NamedTuple):
    """What is to be handed back."""

    text: str
    """Its JSON."""


class Unsealed(NamedTuple):
    """What is to be handed back, by its place in a message."""

    details: list[dict[str, Any]]
    extra: Mapping[str, Any] | None
    """Of the message."""
    extra_of_calls: Mapping[str, Mapping[str, Any]]
    """By the calls' ids."""


def sealed_details(details: Any) -> Iterator[Sealed]:
    """Yield the details of a message that have to be handed back."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and any(detail.get(name) for name in _SECRETS):
            kept = {name: detail[name] for name in detail if name not in _TEXTS}
            yield Sealed(as_json({DETAILS: [kept]}))


def is_signed(extra: Any, depth: int = 0) -> bool:
    """Return whether additional content has a signature."""
    if not isinstance(extra, dict) or depth > _MOST_DEPTH:
        return False
    return any(
        (isinstance(value, str) and value and "signature" in name)
        or is_signed(value, depth + 1)
        for name, value in extra.items()
    )


def sealed_extra(extra: str, call_id: str | None = None) -> Sealed:
    """Return the JSON of additional content of a message, or of one of its calls."""
    of_call = "" if call_id is None else f',"call_id":{as_json(call_id)}'
    return Sealed(f'{{"{EXTRA}":{extra}{of_call}}}')


def unsealed(parts: Iterable[Part]) -> Unsealed:
    """Return what is to be handed back with a message of some parts."""
    details: list[dict[str, Any]] = []
    extra: Mapping[str, Any] | None = None
    extra_of_calls: dict[str, Mapping[str, Any]] = {}
    text = ""
    for part in parts:
        if not isinstance(part, Reasoning):
            continue
        if part.sealed is None:
            text += part.text
            continue
        match opened(part.sealed):
            case {"reasoning_details": [*found]}:
                for detail in found:
                    if isinstance(detail, dict):
                        details.append(with_text(detail, text))
                        text = ""
            case {"extra_content": dict(found), "call_id": str(call_id)}:
                extra_of_calls[call_id] = found
            case {"extra_content": dict(found)}:
                extra = found
    return Unsealed(details, extra, extra_of_calls)


def sealed_encrypted(item: Mapping[str, Any]) -> Sealed | None:
    """Return what a reasoning item of the Responses API has to be handed back with."""
    kept = {
        name: value
        for name in (ENCRYPTED, "id")
        if isinstance(value := item.get(name), str) and value
    }
    return Sealed(as_json(kept)) if ENCRYPTED in kept else None


def encrypted_in(sealed: str) -> Mapping[str, str] | None:
    """Return the fields of a reasoning item of the Responses API, if it was one."""
    match opened(sealed):
        case {"encrypted_content": str()} as found:
            fields: Mapping[str, str] = found
            return fields
    return None


def opened(sealed: str) -> Any:
    """Return the value of JSON; `None` if another server sealed it in another way."""
    try:
        return json.loads(sealed)
    except (ValueError, RecursionError):
        return None


def with_text(detail: dict[str, Any], text: str) -> dict[str, Any]:
    """Return a detail with the text that was left out of it."""
    kind = detail.get("type")
    name = {"reasoning.text": "text", "reasoning.summary": "summary"}.get(str(kind))
    return detail if name is None else {**detail, name: text}


def as_json(value: Any) -> str:
    """Return JSON in ASCII on one line."""
    return json.dumps(value, separators=(",", ":"))
