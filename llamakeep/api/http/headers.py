"""Reading headers that must not be repeated."""

from fastapi import Request

from llamakeep.api.http.problems import PARAMETER_REPEATED
from llamakeep.errors import FieldError, InvalidRequest


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
        raise InvalidRequest(errors=[FieldError(f"header.{name}", PARAMETER_REPEATED)])
    return values[0]
