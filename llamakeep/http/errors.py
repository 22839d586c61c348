"""Why there is no response, or not all of it."""


class HttpError(Exception):
    """A request could not be sent, or had no whole response."""


class ConnectError(HttpError):
    """There was no connection: nobody heard anything of the request."""


class TooLate(ConnectError):
    """There was no time left to send the request: nothing of it was sent."""


class ConnectionLost(HttpError):
    """The connection was lost; the server may have heard the request."""


class ReadTimeout(HttpError):
    """The server was silent for too long, or not done in time."""


class ProtocolError(HttpError):
    """What the server sent is no HTTP/1.1, or has too much around its body."""
