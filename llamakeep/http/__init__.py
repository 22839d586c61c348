"""
A small HTTP/1.1 client on the event loop, for requests whose answers are streamed.

It follows no redirects, because credentials must not wander, keeps no cookies, and asks
for no compression, which would hold a stream's pieces back.
"""

from llamakeep.http.client import Client
from llamakeep.http.connection import Response
from llamakeep.http.errors import (
    ConnectError,
    ConnectionLost,
    HttpError,
    ProtocolError,
    ReadTimeout,
    TooLate,
)
from llamakeep.http.pool import Exchange

__all__ = [
    "Client",
    "ConnectError",
    "ConnectionLost",
    "Exchange",
    "HttpError",
    "ProtocolError",
    "ReadTimeout",
    "Response",
    "TooLate",
]
