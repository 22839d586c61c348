"""The rules of usernames."""

import re

from llamakeep.errors import FieldError, InvalidRequest

USERNAME = r"[A-Za-z0-9._@-]{1,64}"


def check_username(username: str) -> None:
    """
    Check the characters and the length of a new username.

    Raises:
        InvalidRequest: It breaks a rule.
    """
    if not re.fullmatch(USERNAME, username):
        message = "A username has 1 to 64 letters, digits and any of ._@-"
        raise InvalidRequest(message, errors=[FieldError("username", message)])
