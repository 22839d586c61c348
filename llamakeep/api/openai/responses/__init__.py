"""OpenAI's Responses API: a run as a response, with items in and typed events out."""

from llamakeep.api.openai.responses.routes import router

__all__ = ["router"]
