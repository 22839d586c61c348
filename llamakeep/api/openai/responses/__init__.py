"""OpenAI's Responses API."""

from llamakeep.api.openai.responses.routes import router

__all__ = ["router"]
