"""Errors of logins."""

from http import HTTPStatus

from llamakeep.errors.client import ClientError


class OriginRefused(ClientError):
    """A page of another origin sent the login cookie; nothing was done."""

    status = HTTPStatus.FORBIDDEN
    code = "origin-refused"
    title = "Only this server's own pages may use the login cookie."


class LoginNotFound(ClientError):
    """There is no such login, it is over, or it is another user's; not said which."""

    status = HTTPStatus.NOT_FOUND
    code = "login-not-found"
    title = "There is no such login."
