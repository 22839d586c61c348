"""OpenAI's API: its words in, its words out, and the same engine in between."""

from llamakeep.api.openai import errors

__all__ = ["errors"]
