"""OpenAI's API: chat completions, completions, responses, embeddings and models."""

from llamakeep.api.openai import (
    chat,
    completions,
    conversations,
    embeddings,
    errors,
    models,
    responses,
    stored_chat,
)

__all__ = [
    "chat",
    "completions",
    "conversations",
    "embeddings",
    "errors",
    "models",
    "responses",
    "stored_chat",
]
