"""The HTTP server: uvicorn with timeouts, size limits and an orderly shutdown."""

from llamakeep.server.describing import describe_model
from llamakeep.server.server import Server, WhenReady, run, serve

__all__ = ["Server", "WhenReady", "describe_model", "run", "serve"]
