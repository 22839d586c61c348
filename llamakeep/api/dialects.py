"""Which API a request is of, where that decides how errors are rendered."""

from fastapi import Request

from llamakeep.api import anthropic, openai, replicate
from llamakeep.api.anthropic.wire import is_meant
from llamakeep.services import Dialect


def dialect_of(request: Request) -> Dialect | None:
    """Return how errors are rendered; `None` if that is this server's own way."""
    path = request.url.path
    if path.startswith("/replicate/v1/"):
        return replicate.errors.render
    if not path.startswith("/v1/"):
        return None
    return anthropic.errors.render if is_meant(request) else openai.errors.render
