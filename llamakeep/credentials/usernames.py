"""What users may be called."""

import re

from llamakeep.errors import FieldError, InvalidRequest

USERNAME = r"[A-Za-z0-9._@-]{1,64}"


def check_username(username: str) -> None:
    """
    Refuse names that are hard to type, to read or to keep apart.

    Raises:
        InvalidRequest: It says what a name may be.
    """
    if not re.fullmatch(USERNAME, username):
        message = "A username has 1 to 64 letters, digits and any of ._@-"
        raise InvalidRequest(message, errors=[FieldError("username", message)])
