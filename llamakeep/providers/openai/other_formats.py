"""Servers that answer, but not as OpenAI-compatible ones do."""

from typing import Any, NamedTuple


class OtherFormat(NamedTuple):
    """The format of another API."""

    name: str
    base_url: str
    """Where servers with that API have one that is compatible with OpenAI's."""


_OLLAMA = OtherFormat("Ollama's own API", "http://127.0.0.1:11434/v1")
_ANTHROPIC = OtherFormat("Anthropic's Messages API", "https://api.anthropic.com/v1")
_RESPONSES = OtherFormat("OpenAI's Responses API", "https://api.openai.com/v1")
_BY_FIELDS = {
    ("done", "message"): _OLLAMA,
    ("done", "response"): _OLLAMA,
    ("candidates",): OtherFormat(
        "Gemini's own API", "https://generativelanguage.googleapis.com/v1beta/openai"
    ),
    ("content", "stop"): OtherFormat("llama.cpp's own API", "http://127.0.0.1:8080/v1"),
    ("generated_text",): OtherFormat("TGI's own API", "http://127.0.0.1:3000/v1"),
    ("content", "stop_reason"): _ANTHROPIC,
}
_BY_TYPE = {
    "message_start": _ANTHROPIC,
    "content_block_start": _ANTHROPIC,
    "content_block_delta": _ANTHROPIC,
    "response.created": _RESPONSES,
    "response.output_text.delta": _RESPONSES,
}


def other_format(event: dict[str, Any]) -> OtherFormat | None:
    """Return the format of an event, or a whole answer, that has no choices."""
    kind = event.get("type")
    if isinstance(kind, str) and kind in _BY_TYPE:
        return _BY_TYPE[kind]
    if event.get("object") == "response":
        return _RESPONSES
    names = event.keys()
    return next((it for has, it in _BY_FIELDS.items() if names >= set(has)), None)
