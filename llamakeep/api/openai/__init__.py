"""OpenAI's API: its words in, its words out, and the same engine in between."""

from llamakeep.api.openai import chat, completions, errors, models, responses

__all__ = ["chat", "completions", "errors", "models", "responses"]
