"""The events of a response, as OpenAI's Responses API sends them."""

from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]


def message(*texts: str, kind: str = "output_text") -> dict[str, Any]:
    """Return a message of some texts, or of some refusals."""
    field_of = "refusal" if kind == "refusal" else "text"
    parts = [{"type": kind, field_of: text} for text in texts]
    return {"type": "message", "role": "assistant", "content": parts}


def reasoning(*texts: str, is_summary: bool = False, **more: Any) -> dict[str, Any]:
    """Return a reasoning with a content, or with a summary."""
    kind = "summary_text" if is_summary else "reasoning_text"
    parts = [{"type": kind, "text": text} for text in texts]
    summary, content = (parts, []) if is_summary else ([], parts)
    return {"type": "reasoning", "summary": summary, "content": content, **more}


def call(name: str, arguments: str) -> dict[str, Any]:
    """Return a call of a function."""
    return {
        "type": "function_call",
        "name": name,
        "call_id": f"call_{name}",
        "arguments": arguments,
    }


_DELTAS = {
    "output_text": "response.output_text",
    "refusal": "response.refusal",
    "reasoning_text": "response.reasoning_text",
    "summary_text": "response.reasoning_summary_text",
}


def events_of(
    found: str, items: list[dict[str, Any]], ending: dict[str, Any]
) -> Iterator[Event]:
    """Yield the events of a response, numbered from 0."""
    facts = {"id": found, "object": "response", "model": "m-2026", "output": []}
    begun = facts | {"status": "in_progress"}
    whole = [
        {"id": f"item_{index}", "status": "completed", **item}
        for index, item in enumerate(items)
    ]
    end = facts | {"status": "completed", "output": whole, "usage": USAGE} | ending
    events: list[Event] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(whole):
        events += _events_of_item(item, index)
    events.append({"type": f"response.{end['status']}", "response": end})
    for number, event in enumerate(events):
        yield event | {"sequence_number": number}


def _events_of_item(item: dict[str, Any], index: int) -> Iterator[Event]:
    place = {"output_index": index, "item_id": item["id"]}
    empty: Event = {name: [] for name in ("content", "summary")} | {"arguments": ""}
    begun = item | {name: empty[name] for name in empty if name in item}
    begun["status"] = "in_progress"
    yield {"type": "response.output_item.added", "item": begun, **place}
    for name in ("summary", "content"):
        for at, part in enumerate(item.get(name, ())):
            where = place | {f"{name}_index": at}
            kind, text = _DELTAS[part["type"]], part.get("text") or part["refusal"]
            for word in _cut(text):
                yield {"type": f"{kind}.delta", "delta": word, **where}
            field_of = "refusal" if "refusal" in part else "text"
            yield {"type": f"{kind}.done", field_of: text, **where}
            if name == "content":
                yield {"type": "response.content_part.done", "part": part, **where}
    if "arguments" in item:
        kind = "response.function_call_arguments"
        for word in _cut(item["arguments"]):
            yield {"type": f"{kind}.delta", "delta": word, **place}
        yield {"type": f"{kind}.done", "arguments": item["arguments"], **place}
    yield {"type": "response.output_item.done", "item": item, **place}


USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 10,
}


def _cut(text: str) -> list[str]:
    size = max(4, len(text) // 100)
    return [text[at : at + size] for at in range(0, len(text), size)]
