"""What models of OpenAI-compatible servers can do, as far as these say it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from time import monotonic
from typing import Any

from llamakeep.domain import Capabilities
from llamakeep.domain.capabilities import UNKNOWN
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.capabilities import needs_of
from llamakeep.providers.openai.refusals import Reason

REMEMBERED = 600.0
"""Seconds for which a refusal counts: then a model may have learnt it."""
MOST_MODELS = 10_000
"""How many models are remembered; names may be made up."""

MOST_LISTED = 5_000
"""How many models of a list are shown: describing more would hold up prompts."""
LONGEST_ID = 256
"""Characters of a model's name that a prompt may have."""

_STATUSES = {400, 404, 422, 500, 501}
_SUBJECTS: Mapping[str, str] = {
    "tools": r"tools?(?:[ _-](?:use|calls?|calling))?|function[ _-]call(?:s|ing)",
    "images": r"images?(?:[ _-](?:inputs?|urls?))?|vision",
    "json_schema": r"(?:response[ _-]format )?[`'\"]?json[ _-]schema"
    r"|structured[ _-]outputs?",
    "reasoning": r"thinking|reasoning(?:[ _-]effort)?",
    "logprobs": r"log ?probs?",
}
_END = (
    r"[`'\"]?(?=\s*(?:$|[.,;:!)\n]|- )|"
    r"\s+(?:with|by|for|on|in)\s+(?:this|the|any)\s+(?:model|server|endpoint))"
)
_SENTENCES = (
    r"(?:do(?:es)? ?n[o']t|can(?:no|')t) (?:currently )?support (?:the )?[`'\"]?"
    r"(?:{subject}){end}"
    r"|(?:^|(?<=[.:!] )|[`'\"])(?:{subject})[`'\"]? (?:is|are) "
    r"(?:not (?:yet )?supported|unsupported){end}"
    r"|unsupported parameter: [`'\"]?(?:{subject}){end}"
    r"|no endpoints found that support (?:{subject}){end}"
)
_OTHERS: Mapping[str, str] = {
    "tools": r"tools param requires --jinja",
    "images": r"image_url is only supported by certain models"
    r"|unknown variant [`'\"]?image_url|is not a multimodal model",
}
_REFUSALS: Mapping[str, re.Pattern[str]] = {
    capability: re.compile(
        _SENTENCES.format(subject=subject, end=_END)
        + (f"|{_OTHERS[capability]}" if capability in _OTHERS else ""),
        re.IGNORECASE,
    )
    for capability, subject in _SUBJECTS.items()
}
"""How servers say that a model cannot do a thing at all."""

_PARAMETERS: Mapping[str, str] = {
    "tools": "tools",
    "json_schema": "structured_outputs",
    "reasoning": "reasoning",
    "logprobs": "logprobs",
}
"""By capability: the parameter that OpenRouter lists for it."""
_SWITCHES: Mapping[str, str] = {
    "function_calling": "tools",
    "supports_tools": "tools",
    "supports_function_calling": "tools",
    "supports_parallel_function_calling": "parallel_tools",
    "vision": "images",
    "supports_image_input": "images",
    "supports_vision": "images",
    "supports_response_schema": "json_schema",
    "supports_reasoning": "reasoning",
    "supports_assistant_prefill": "prefill",
}
"""What Mistral, Fireworks and LiteLLM call capabilities."""
_LABELS: Mapping[str, str] = {
    "tools": "tools",
    "tool_use": "tools",
    "vision": "images",
    "multimodal": "images",
    "thinking": "reasoning",
    "embedding": "embeddings",
}
"""What Ollama and llama.cpp say that a model can do; they do not say it of all."""


class KnownCapabilities:
    """What a server said of its models, and what they refused a while ago."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._said: dict[str, Capabilities] = {}
        self._refused: dict[str, dict[str, float]] = {}
        """By model and capability, until when a refusal counts."""
        self.of_all = UNKNOWN
        """What the server can do with any model."""

    def of(self, model: str) -> Capabilities:
        """Return what is known of a model."""
        known = self._said.get(model, UNKNOWN).or_else(self.of_all)
        if (refused := self._refused.get(model)) is None:
            return known
        now = self._clock()
        still = {name: False for name, until in refused.items() if now < until}
        return replace(known, **still)

    def note_list(self, listing: Any) -> None:
        """Remember what a list of models says of each."""
        entries = [
            entry
            for part in ("data", "models")
            if isinstance(listing, dict) and isinstance(listing.get(part), list)
            for entry in listing[part]
            if isinstance(entry, dict)
        ]
        said: dict[str, Capabilities] = {}
        for entry in entries[: 2 * MOST_MODELS]:
            name = entry.get("id") or entry.get("name")
            can = said_of(entry)
            if isinstance(name, str) and can != UNKNOWN:
                said[name] = can.or_else(said.get(name, UNKNOWN))
        self._said = said

    def note_props(self, props: Any) -> None:
        """Remember what llama.cpp says of the model that it runs."""
        self.of_all = Capabilities(json_schema=True, logprobs=True)
        match props:
            case {"modalities": {"vision": bool(vision)}}:
                self.of_all = replace(self.of_all, images=vision)
        match props:
            case {"chat_template_caps": {"supports_parallel_tool_calls": True}}:
                self.of_all = replace(self.of_all, tools=True, parallel_tools=True)
            case {"chat_template_caps": {"supports_tool_calls": True}}:
                self.of_all = replace(self.of_all, tools=True)

    def note_refusal(
        self, request: CompletionRequest, status: int, reason: Reason
    ) -> None:
        """Remember that a model cannot do what a request wanted, if that is said."""
        if status not in _STATUSES or not reason.message:
            return
        for capability in _wanted(request):
            if _REFUSALS[capability].search(reason.message):
                if len(self._refused) >= MOST_MODELS:
                    self._refused.clear()
                of_model = self._refused.setdefault(request.model, {})
                of_model[capability] = self._clock() + REMEMBERED


def _wanted(request: CompletionRequest) -> Sequence[str]:
    """Return the capabilities that a request needs and a server may refuse."""
    wanted = {*needs_of(request.parameters).values()}
    if request.read_images is not None:
        wanted.add("images")
    return [capability for capability in _REFUSALS if capability in wanted]


def said_of(entry: Mapping[str, Any]) -> Capabilities:
    """Return what an entry in a server's list says, in one of the usual forms."""
    labels = entry.get("capabilities")
    found = _listed(entry)
    for switches in (entry, labels if isinstance(labels, dict) else {}):
        for name, capability in _SWITCHES.items():
            if isinstance(is_able := switches.get(name), bool):
                found[capability] = is_able
    for label in labels if isinstance(labels, list) else ():
        if isinstance(label, str) and label in _LABELS:
            found[_LABELS[label]] = True
    if entry.get("type") == "embedding":  # Together's
        found["embeddings"] = True
    return Capabilities(**found)


def _listed(entry: Mapping[str, Any]) -> dict[str, bool]:
    """Return what OpenRouter's lists say, which are complete."""
    found: dict[str, bool] = {}
    if isinstance(names := entry.get("supported_parameters"), list):
        for capability, parameter in _PARAMETERS.items():
            found[capability] = parameter in names
    match entry.get("architecture"):
        case {"input_modalities": list(kinds)}:
            found["images"] = "image" in kinds
    return found


def listed_ids(listing: Any) -> Sequence[str]:
    """
    Return the ids of the models that a server lists, as far as prompts may name them.

    Of very many, the first are known; prompts may name the others as well.

    Raises:
        ValueError: There are none.
    """
    listed = listing.get("data") if isinstance(listing, dict) else None
    if not isinstance(listed, list):
        raise ValueError  # noqa: TRY004 - no caller's mistake
    ids = (one.get("id") for one in listed if isinstance(one, dict))
    names = (
        one
        for one in ids
        if isinstance(one, str) and 0 < len(one) <= LONGEST_ID and one.isprintable()
    )
    if not (found := [*islice(names, MOST_LISTED)]):
        raise ValueError
    return found
