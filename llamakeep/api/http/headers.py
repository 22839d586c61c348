"""Headers that have one value."""

from fastapi import Request

from llamakeep.api.http.problems import PARAMETER_REPEATED
from llamakeep.errors import FieldError, InvalidRequest


def single_header(request: Request, name: str) -> str | None:
    """
    Return what a header says, `None` without it.

    Args:
        request: What came.
        name: The header's, in lower case.

    Raises:
        InvalidRequest: It came with several values: any choice could be the wrong one.
    """
    values = request.headers.getlist(name)
    if not values:
        return None
    if any(value != values[0] for value in values):
        raise InvalidRequest(errors=[FieldError(f"header.{name}", PARAMETER_REPEATED)])
    return values[0]
