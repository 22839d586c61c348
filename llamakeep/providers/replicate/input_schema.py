"""What a model takes, in its own words, and what it says."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from llamakeep.domain import Parameters
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.replicate.openapi import (
    ANYTHING,
    Field,
    read_field,
    read_fields,
)
from llamakeep.providers.replicate.outputs import OUTPUT_FIELDS

PROMPT, MESSAGES, ITEMS = "prompt", "messages", "input_item_list"
"""A text, or a conversation as OpenAI's chat completions or its responses have it."""
TEMPLATE = "prompt_template"
"""What a model writes around the text; without it, the text is what the model reads."""

_SPELLINGS = {
    "max_tokens": (
        "max_tokens",
        "max_new_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_length",
    ),
    "min_tokens": ("min_tokens", "min_new_tokens", "min_length"),
    "stop": ("stop_sequences", "stop"),
    "response_format": ("response_format", "json_schema"),
}
_IMAGES = ("image_input", "images", "image")
_SYSTEM_PROMPTS = ("system_prompt", "instructions", "system_instruction")
_USUAL_FIELDS = (
    PROMPT,
    "min_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "stop_sequences",
)


@dataclass(frozen=True, slots=True)
class InputSchema:
    """
    The fields of a model.

    If they are not known, those of Llama models, but for fields that only some of them
    have and without which a text would get lost: Replicate ignores what a model does
    not know.
    """

    fields: Mapping[str, Field] = field(
        default_factory=lambda: dict.fromkeys(_USUAL_FIELDS, ANYTHING)
    )
    version: str | None = None
    """The version to ask for, where the model's name alone does not do."""
    is_known: bool = False
    """Whether Replicate said so."""
    output_fields: frozenset[str] = frozenset()
    """Those fields of its output that are read, if that is an object."""

    @property
    def system_prompt(self) -> str | None:
        """What the model calls its system prompt, if it has one."""
        return next((name for name in _SYSTEM_PROMPTS if name in self.fields), None)

    @property
    def has_messages(self) -> bool:
        """Whether a conversation can be given to it as one."""
        return MESSAGES in self.fields or ITEMS in self.fields

    @property
    def has_template(self) -> bool:
        """Whether it can be given all that it reads, with the tokens of its turns."""
        return TEMPLATE in self.fields and not self.has_messages

    @property
    def images(self) -> str | None:
        """What the model calls the images that it is to look at, if it can."""
        return next((name for name in _IMAGES if name in self.fields), None)

    @property
    def is_of_one_image(self) -> bool:
        """Whether it takes one image, and not several."""
        return self.images is not None and self.fields[self.images].is_text

    def spelling(self, parameter: str) -> str | None:
        """Return what the model calls `parameter`, if it has it."""
        names = _SPELLINGS.get(parameter, (parameter,))
        return next((name for name in names if name in self.fields), None)

    def lacks(self, parameters: Collection[str]) -> frozenset[str]:
        """Return those of the parameters, by name, that the model does not have."""
        return frozenset([name for name in parameters if self.spelling(name) is None])

    def max_tokens(self, parameters: Parameters) -> int | None:
        """Return how much the model may say, as far as that is known."""
        if parameters.max_tokens is not None:
            return parameters.max_tokens
        default = self.fields.get(self.spelling("max_tokens") or "", ANYTHING).default
        if isinstance(default, bool) or not isinstance(default, int):
            return None
        return default

    def written(self, model: str, parameters: Parameters) -> dict[str, Any]:
        """
        Return the parameters that the model has as it takes them.

        Raises:
            UnsupportedParameter: It does not take a value.
        """
        written = {}
        for name, value in parameters.given().items():
            spelling = self.spelling(name)
            if spelling is None:
                continue
            instead = self.fields[spelling].refusal_of(value)
            if instead is not None:
                raise UnsupportedParameter(
                    f"The model {model!r} on Replicate takes for {name} {instead}, and "
                    f"not {value!r}; it was not asked. Send another value, or choose "
                    "another model.",
                    parameters=[name],
                )
            written[spelling] = self._written(name, spelling, value)
        return written

    def fitted(self, name: str, value: Any) -> Any:
        """Return JSON as the field `name` takes it: some take it as text."""
        known = self.fields[name]
        if known.is_text:
            return _json(value)
        if isinstance(value, list) and known.items == {"string"}:
            return [_json(each) for each in value]
        return value

    def _written(self, name: str, spelling: str, value: Any) -> Any:
        match name:
            case "stop":
                return self._stop(spelling, value)
            case "tools":
                functions = [each["function"] for each in value]
                flat = [{"type": "function", **each} for each in functions]
                return self.fitted(spelling, flat if self._is_flat else list(value))
            case "tool_choice" if isinstance(value, Mapping):
                flat_choice = {"type": "function", "name": value["function"]["name"]}
                choice = flat_choice if self._is_flat else value
                return self.fitted(spelling, choice)
            case "response_format":
                return self.fitted(spelling, self._format(spelling, value))
        return value

    @property
    def _is_flat(self) -> bool:
        """Whether it writes tools and formats as OpenAI's responses do."""
        return ITEMS in self.fields

    def _stop(self, spelling: str, stop: Collection[str]) -> Any:
        if self.fields[spelling].types == {"array"}:
            return list(stop)
        if any("," in text for text in stop):
            raise UnsupportedParameter(
                "Replicate takes `stop` as one text with commas in between, so none of "
                "its texts can have a comma. Leave that one out, or choose another "
                "provider.",
                parameters=["stop"],
            )
        return ",".join(stop)

    def _format(self, spelling: str, wanted: Mapping[str, Any]) -> Any:
        if spelling != "json_schema":
            return wanted
        described = wanted.get("json_schema", {})
        if self._is_flat:
            return {"format": {"type": wanted["type"], **described}}
        if "schema" in described:
            return described["schema"]
        raise UnsupportedParameter(
            "The model takes a JSON schema, and no `response_format` without one; it "
            "was not asked. Send a schema, or choose another model.",
            parameters=["response_format"],
        )


UNKNOWN = InputSchema()


def read_schema(version: Any, *, must_name_version: bool = False) -> InputSchema | None:
    """Return what a version's `openapi_schema` says, if it can be read."""
    match version:
        case {"id": str(version_id), "openapi_schema": dict(document)}:
            fields = read_fields(document, "Input")
            if PROMPT in fields or MESSAGES in fields:
                return InputSchema(
                    fields,
                    version_id if must_name_version else None,
                    is_known=True,
                    output_fields=_output_fields(document),
                )
    return None


def _output_fields(document: Any) -> frozenset[str]:
    if read_field(document, "Output").types != {"object"}:
        return frozenset()
    return OUTPUT_FIELDS.intersection(read_fields(document, "Output"))


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
