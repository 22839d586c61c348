"""Errors of logins in browsers."""

from http import HTTPStatus

from llamakeep.errors.client import ClientError


class OriginRefused(ClientError):
    """A page of another origin sent the login cookie; nothing was done."""

    status = HTTPStatus.FORBIDDEN
    code = "origin-refused"
    title = "Only this server's own pages may use the login cookie."
