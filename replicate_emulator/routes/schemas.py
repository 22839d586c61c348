"""The OpenAPI documents that describe what a model takes, as Cog writes them."""

from collections.abc import Mapping
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


LLAMA_4: Properties = _vllm(4096)
LLAMA_4["max_tokens"]["maximum"] = 131_072
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


def openapi_schema(properties: Properties) -> dict[str, Any]:
    """Return the document of a language model with these inputs."""
    inputs = {
        name: {"title": name.replace("_", " ").title(), "x-order": order, **schema}
        for order, (name, schema) in enumerate(properties.items())
    }
    inputs_schema: dict[str, Any] = {
        "type": "object",
        "title": "Input",
        "properties": inputs,
    }
    if required := [name for name in inputs if "default" not in inputs[name]]:
        inputs_schema["required"] = required
    output = {
        "type": "array",
        "items": {"type": "string"},
        "title": "Output",
        "x-cog-array-type": "iterator",
        "x-cog-array-display": "concatenate",
    }
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": {},
        "components": {
            "schemas": {
                "Input": inputs_schema,
                "Output": output,
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
            }
        },
    }


def _choice(title: str, *values: str) -> Mapping[str, Any]:
    return {"type": "string", "title": title, "enum": list(values)}


def _object(title: str, schema: str, name: str) -> Mapping[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"type": "object", "title": title, "properties": {name: reference}}
