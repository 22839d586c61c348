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
    PoolTimeout,
    ProtocolError,
    ReadTimeout,
    TooLate,
)
from llamakeep.http.pool import MOST_CONNECTIONS, Exchange

__all__ = [
    "MOST_CONNECTIONS",
    "Client",
    "ConnectError",
    "ConnectionLost",
    "Exchange",
    "HttpError",
    "PoolTimeout",
    "ProtocolError",
    "ReadTimeout",
    "Response",
    "TooLate",
]
