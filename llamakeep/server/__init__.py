"""The HTTP server: uvicorn with timeouts, size limits and an orderly shutdown."""

from llamakeep.server.describing import describe_model
from llamakeep.server.server import Server, WhenReady, reload_upstreams, run, serve

__all__ = ["Server", "WhenReady", "describe_model", "reload_upstreams", "run", "serve"]
