"""OpenAPI schemas of models' input and output, in Cog's format."""

from collections.abc import Collection
from typing import Any

from llamakeep.schemas.fields import MOST_TOKENS

_PENALTY = {"type": "number", "minimum": -2, "maximum": 2}
_INPUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "prompt": ("What you want to ask.", {"type": "string"}),
    "messages": (
        "Instead of a prompt: messages as OpenAI's chat completions have them.",
        {"type": "array", "items": {"type": "object"}},
    ),
    "system_prompt": ("How the model is to behave.", {"type": "string"}),
    "max_tokens": (
        "The largest number of tokens in the output.",
        {"type": "integer", "minimum": 1, "maximum": MOST_TOKENS},
    ),
    "min_tokens": (
        "The smallest number of tokens in the output.",
        {"type": "integer", "minimum": -1, "maximum": MOST_TOKENS},
    ),
    "temperature": (
        "The sampling temperature; higher values give more random output.",
        {"type": "number", "minimum": 0, "maximum": 5},
    ),
    "top_p": (
        "Choose among the most likely tokens of this probability.",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    ),
    "top_k": (
        "Choose among this many most likely tokens; 0 for all.",
        {"type": "integer", "minimum": 0},
    ),
    "presence_penalty": ("How much repeating a token is avoided.", _PENALTY),
    "frequency_penalty": ("How much frequent tokens are avoided.", _PENALTY),
    "stop_sequences": (
        "Stop sequences, separated by commas: the output ends before them.",
        {"type": "string"},
    ),
    "seed": (
        "The same seed asks for the same output.",
        {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    ),
    "reasoning_effort": ("How much the model is to think.", {"type": "string"}),
    "verbosity": ("How much the model is to say.", {"type": "string"}),
    "json_schema": ("The JSON schema of the output.", {"type": "object"}),
}
WRITTEN = {"stop": "stop_sequences", "response_format": "json_schema"}
"""Replicate's names of parameters, where they differ."""


_MEANT = {name: parameter for parameter, name in WRITTEN.items()}
PARAMETERS = frozenset([_MEANT.get(name, name) for name in _INPUTS]) - {
    "prompt",
    "messages",
    "system_prompt",
}
"""The parameters that inputs have."""


def openapi_schema(unsupported: Collection[str]) -> dict[str, Any]:
    """Return the schema of a model that does not support some parameters."""
    unknown = {WRITTEN.get(name, name) for name in unsupported}
    known = [item for item in _INPUTS.items() if item[0] not in unknown]
    properties = {
        name: {
            "title": name.replace("_", " ").title(),
            "description": description,
            "x-order": order,
            **schema,
        }
        for order, (name, (description, schema)) in enumerate(known)
    }
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": {},
        "components": {
            "schemas": {
                "Input": {
                    "type": "object",
                    "title": "Input",
                    "properties": properties,
                },
                "Output": {
                    "type": "array",
                    "title": "Output",
                    "items": {"type": "string"},
                    "x-cog-array-type": "iterator",
                    "x-cog-array-display": "concatenate",
                },
            }
        },
    }
