"""The OpenAPI documents that describe what a model takes, as Cog writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

Properties = dict[str, dict[str, Any]]

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def field(default: str | float, description: str, **more: Any) -> dict[str, Any]:
    """Return the schema of one input field."""
    kind = _TYPES[type(default)]
    return {"type": kind, "default": default, "description": description, **more}


def _sampling(
    max_tokens: int, presence_penalty: float, frequency_penalty: float
) -> Properties:
    return {
        "min_tokens": field(0, "The least number of tokens to generate."),
        "max_tokens": field(max_tokens, "The largest number of tokens to generate."),
        "temperature": field(0.6, "How random the output is."),
        "top_p": field(0.9, "Sample from tokens of this cumulative probability."),
        "top_k": field(50, "Sample from this many most likely tokens."),
        "presence_penalty": field(presence_penalty, "Penalty for known tokens."),
        "frequency_penalty": field(frequency_penalty, "Penalty for frequent tokens."),
    }


def _vllm(max_tokens: int) -> Properties:
    return {
        "prompt": field("", "The prompt."),
        "system_prompt": field("You are a helpful assistant.", "Who the model is."),
        **_sampling(max_tokens, 0.0, 0.0),
        "stop_sequences": field("", "A comma-separated list of sequences to stop at."),
        "prompt_template": field("", "A template with {prompt} and {system_prompt}."),
    }


def _choices(default: str, values: Sequence[str], description: str) -> dict[str, Any]:
    """Return the schema of a field that takes one of some values."""
    return {"default": default, "description": description, "enum": list(values)}


def _optional(kind: str, description: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a field that may be left out, or be null."""
    return {"type": kind, "description": description, "nullable": True, **more}


def _list_of(kind: str, description: str, **more: Any) -> dict[str, Any]:
    items = {"type": kind, **more}
    return {"type": "array", "items": items, "default": [], "description": description}


LLAMA_4_OLDER: Properties = _vllm(4096)
LLAMA_4_OLDER["max_tokens"]["maximum"] = 131_072
LLAMA_4: Properties = {
    "prompt": field("", "The prompt."),
    "max_tokens": field(1024, "The largest number of tokens to generate."),
    "temperature": field(0.6, "How random the output is."),
    "presence_penalty": field(0.0, "Penalty for known tokens."),
    "frequency_penalty": field(0.0, "Penalty for frequent tokens."),
    "top_p": field(1.0, "Sample from tokens of this cumulative probability."),
}
_EFFORTS = ("minimal", "low", "medium", "high")
_REASONING: Properties = {
    "reasoning_effort": _choices("minimal", _EFFORTS, "How much it thinks."),
    "verbosity": _choices("medium", ("low", "medium", "high"), "How much it says."),
}
GPT: Properties = {
    "prompt": _optional("string", "The prompt; not used if there are messages."),
    "messages": _list_of("object", "Messages of a chat."),
    "image_input": _list_of("string", "Images.", format="uri"),
    "system_prompt": _optional("string", "Who the model is."),
    **_REASONING,
    "max_completion_tokens": _optional("integer", "The largest number of tokens."),
    "tools": _list_of("object", "Functions that it may call."),
    "tool_choice": _choices("auto", ("auto", "none", "required"), "Whether it calls."),
}
GPT_STRUCTURED: Properties = {
    "prompt": _optional("string", "The prompt; not used if there is a list of items."),
    "instructions": _optional("string", "Who the model is."),
    "input_item_list": _list_of("object", "Items, as OpenAI's responses have them."),
    "image_input": _list_of("string", "Images.", format="uri"),
    **_REASONING,
    "json_schema": {"type": "object", "default": {}, "description": "The format."},
    "tools": _list_of("object", "Functions that it may call."),
    "max_output_tokens": _optional("integer", "The largest number of tokens."),
}
TEXT_OR_JSON: Properties = {
    "text": _optional("string", "What it says."),
    "json_output": _optional("object", "What it says, in the format."),
    "tool_calls": _list_of("object", "The functions that it calls."),
    "response_id": _optional("string", "The id of the response."),
}
"""The output of a model whose output is an object."""
LLAMA_3_1: Properties = _vllm(512)
LLAMA_3: Properties = {
    "prompt": field("", "The prompt."),
    **_sampling(512, 1.15, 0.2),
    "prompt_template": field("{prompt}", "A template with {prompt}."),
}
PARROT: Properties = {
    "prompt": {"type": "string", "description": "What to say."},
    "max_tokens": field(4096, "How many words to say.", minimum=1, maximum=4096),
    "temperature": field(0.7, "Ignored.", minimum=0, maximum=5),
    "top_p": field(0.95, "Ignored.", minimum=0, maximum=1),
    "stop_sequences": field("", "A comma-separated list of sequences to stop at."),
}


def openapi_schema(
    properties: Properties, output: Properties | None = None
) -> dict[str, Any]:
    """Return the document of a language model with these inputs, which says text."""
    inputs: Properties = {}
    choices: Properties = {}
    for order, (name, schema) in enumerate(properties.items()):
        inputs[name] = {"x-order": order, **schema}
        if "enum" in schema:
            # Cog describes values in a place of their own.
            choices[name] = _choice(name, *inputs[name].pop("enum"))
            inputs[name]["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
        else:
            inputs[name]["title"] = name.replace("_", " ").title()
    inputs_schema: dict[str, Any] = {
        "type": "object",
        "title": "Input",
        "properties": inputs,
    }
    if required := [
        name
        for name, schema in inputs.items()
        if "default" not in schema and not schema.get("nullable")
    ]:
        inputs_schema["required"] = required
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": {},
        "components": {
            "schemas": {
                "Input": inputs_schema,
                "Output": _TEXT if output is None else _output(output),
                "Status": _choice(
                    "Status",
                    "starting",
                    "processing",
                    "succeeded",
                    "canceled",
                    "failed",
                ),
                "WebhookEvent": _choice(
                    "WebhookEvent", "start", "output", "logs", "completed"
                ),
                "PredictionRequest": _object("PredictionRequest", "Input", "input"),
                "PredictionResponse": _object("PredictionResponse", "Output", "output"),
                **choices,
            }
        },
    }


_TEXT: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string"},
    "title": "Output",
    "x-cog-array-type": "iterator",
    "x-cog-array-display": "concatenate",
}


def _output(properties: Properties) -> dict[str, Any]:
    return {"type": "object", "title": "Output", "properties": properties}


def _choice(title: str, *values: str) -> dict[str, Any]:
    return {"type": "string", "title": title, "enum": list(values)}


def _object(title: str, schema: str, name: str) -> Mapping[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"type": "object", "title": title, "properties": {name: reference}}
