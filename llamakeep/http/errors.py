"""Errors of requests: no response, or an incomplete one."""


class HttpError(Exception):
    """A request could not be sent, or its response is incomplete."""


class ConnectError(HttpError):
    """No connection could be made; nothing of the request was sent."""


class TooLate(ConnectError):
    """It was too late to send the request; nothing of it was sent."""


class PoolTimeout(ConnectError):
    """Too many requests were running for too long; nothing of it was sent."""


class ConnectionLost(HttpError):
    """The connection was lost; the server may have received the request."""


class ReadTimeout(HttpError):
    """The server sent nothing for too long, or did not finish in time."""


class ProtocolError(HttpError):
    """The response is not valid HTTP/1.1, or its head or trailers are too large."""
