"""OpenAI's API: chat completions, completions, responses and models."""

from llamakeep.api.openai import (
    chat,
    completions,
    errors,
    models,
    responses,
    stored_chat,
)

__all__ = ["chat", "completions", "errors", "models", "responses", "stored_chat"]
