"""Anthropic's API: messages, counting their tokens, and models."""

from llamakeep.api.anthropic import errors, messages, models

__all__ = ["errors", "messages", "models"]
