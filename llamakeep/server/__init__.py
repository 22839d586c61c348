"""The HTTP server around the application, which trusts no client to be quick."""

from llamakeep.server.describing import describe_model
from llamakeep.server.server import Server, WhenReady, run, serve

__all__ = ["Server", "WhenReady", "describe_model", "run", "serve"]
