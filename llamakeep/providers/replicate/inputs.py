"""A prediction's `input`, in the words that its model knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llamakeep.domain import Message, Parameters
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.prompted_tools import told
from llamakeep.providers.replicate.transcripts import as_text, chat_template, plain

_SPELLINGS = {
    "max_tokens": ("max_tokens", "max_new_tokens"),
    "min_tokens": ("min_tokens", "min_new_tokens"),
    "stop": ("stop_sequences",),
}
_LLAMA_FIELDS = {
    "prompt": "",
    "system_prompt": "You are a helpful assistant.",
    "min_tokens": 0,
    "max_tokens": 4096,
    "temperature": 0.6,
    "top_p": 0.9,
    "top_k": 50,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "stop_sequences": "",
    "prompt_template": "",
}


@dataclass(frozen=True, slots=True)
class InputSchema:
    """What a model takes; without anything known, what Llama 4 is documented to."""

    defaults: Mapping[str, Any] = field(default_factory=lambda: _LLAMA_FIELDS)
    """The fields, each with its default, where it has one."""
    version: str | None = None
    """The version to ask for, where the model's name alone does not do."""
    is_known: bool = False
    """Whether Replicate said so."""

    def spelling(self, parameter: str) -> str | None:
        """Return what the model calls `parameter`, if it has it."""
        names = _SPELLINGS.get(parameter, (parameter,))
        return next((name for name in names if name in self.defaults), None)

    def max_tokens(self, parameters: Parameters) -> int | None:
        """Return how much the model may say, as far as that is known."""
        if parameters.max_tokens is not None:
            return parameters.max_tokens
        if not self.is_known:
            return None
        default = self.defaults.get(self.spelling("max_tokens") or "")
        return default if isinstance(default, int) else None


def read_schema(version: Any, *, must_name_version: bool = False) -> InputSchema | None:
    """Return what a version's `openapi_schema` says, if it can be read."""
    match version:
        case {
            "id": str(version_id),
            "openapi_schema": {
                "components": {"schemas": {"Input": {"properties": dict(properties)}}}
            },
        } if "prompt" in properties:
            defaults = {
                name: schema.get("default") if isinstance(schema, dict) else None
                for name, schema in properties.items()
            }
            return InputSchema(
                defaults, version_id if must_name_version else None, is_known=True
            )
    return None


def build_input(request: CompletionRequest, schema: InputSchema) -> dict[str, Any]:
    """
    Return what to send for `request`: only what was asked for.

    Raises:
        UnsupportedParameter: The model does not know one, or cannot be told.
    """
    if request.parameters.prompted_tools or any(
        message.parts for message in request.messages
    ):
        request = told(request, has_tool_role=chat_template(request.model) is not None)
    given = request.parameters.given()
    if unknown := sorted(name for name in given if schema.spelling(name) is None):
        raise UnsupportedParameter(
            f"The model {request.model!r} on Replicate does not know: "
            f"{', '.join(unknown)}. Leave it out, or choose another model."
        )
    if any("," in text for text in request.parameters.stop):
        raise UnsupportedParameter(
            "Replicate takes `stop` as one text with commas in between, so none of its "
            "texts can have a comma. Leave that one out, or choose another provider."
        )
    messages = as_text(request.model, request.messages)
    result = _prompt(request.model, messages, schema)
    for name, value in given.items():
        spelling = schema.spelling(name)
        assert spelling is not None
        result[spelling] = ",".join(value) if name == "stop" else value
    return result


def _prompt(
    model: str, messages: Sequence[Message], schema: InputSchema
) -> dict[str, Any]:
    *before, last = messages
    if not before:
        return {"prompt": last.content}
    system = [each.content for each in before if each.role == "system"]
    has_system_field = "system_prompt" in schema.defaults
    if len(system) == len(before) and has_system_field:
        return {"prompt": last.content, "system_prompt": "\n\n".join(system)}
    write = chat_template(model)
    if write is not None and "prompt_template" in schema.defaults:
        # The model would otherwise wrap what is wrapped already.
        return {"prompt": write(messages), "prompt_template": "{prompt}"}
    if system and has_system_field:
        said = [each for each in messages if each.role != "system"]
        return {"prompt": plain(said), "system_prompt": "\n\n".join(system)}
    return {"prompt": plain(messages)}
