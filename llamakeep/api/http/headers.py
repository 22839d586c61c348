"""Reading headers that must not be repeated, and cookies."""

from collections.abc import Sequence

from fastapi import Request

from llamakeep.errors import UNREAD, HeaderRepeated, InvalidRequest

PARAMETER_REPEATED = "It has one value, and was given more than one. Send one."


def first_header(request: Request, name: bytes) -> str | None:
    """
    Return the first value of a header, if the request has it.

    It is called for each request: Starlette's `headers` take ten times as long to find
    that there is none.

    Args:
        request: The request.
        name: In lower case.
    """
    for known, value in request.scope["headers"]:
        if known == name:
            return str(value, "latin-1")
    return None


def single_header(request: Request, name: str) -> str | None:
    """
    Return the value of a header, if the request has it.

    Raises:
        InvalidRequest: The header has several different values.
    """
    values = request.headers.getlist(name)
    if not values:
        return None
    if any(value != values[0] for value in values):
        raise InvalidRequest.of(f"header.{name}", PARAMETER_REPEATED)
    return values[0]


def sole_header(request: Request, name: str) -> str:
    """
    Return the value of a header that says who sends a request, or how to read it.

    Without the header, this is an empty text. It is called for each request.

    Args:
        request: The request.
        name: As it is usually written.

    Raises:
        HeaderRepeated: It has several different values: a proxy may have read another
            one than this server would.
    """
    wanted, found = name.lower().encode(), None
    for known, value in request.scope["headers"]:
        if known == wanted:
            if found not in {None, value}:
                raise HeaderRepeated(
                    f"The request has several headers `{name}` with different values. "
                    f"{UNREAD} Send one."
                )
            found = value
    return "" if found is None else str(found, "latin-1")


def cookies_of(request: Request) -> Sequence[tuple[str, str]]:
    """Return the names and values of all cookies, also of those that are repeated."""
    sent = [
        pair.strip().partition("=")
        for name, value in request.scope["headers"]
        if name == b"cookie"
        for pair in value.decode("latin-1").split(";")
    ]
    return [(name, value) for name, _, value in sent]
