"""The HTTP server around the application, which trusts no client to be quick."""

from llamakeep.server.server import run, serve

__all__ = ["run", "serve"]
