"""Errors of logins."""

from http import HTTPStatus

from llamakeep.errors.client import ClientError, Unauthenticated
from llamakeep.errors.server import ServerError


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


class LoginCodeRefused(Unauthenticated):
    """The code is wrong, used, too old or another program's; not said which."""

    code = "login-code-refused"
    title = "The code does not log in."


class WrongKindOfUser(ClientError):
    """Service accounts have no login; people make their API keys themselves."""

    status = HTTPStatus.CONFLICT
    code = "wrong-kind-of-user"
    title = "This cannot be done for this kind of user."


class InvitationRefused(Unauthenticated):
    """The invitation is wrong, used, revoked or expired; not said which."""

    code = "invitation-refused"
    title = "The invitation is not valid."


class InvitationNotFound(ClientError):
    """No such invitation is open; for administrators."""

    status = HTTPStatus.NOT_FOUND
    code = "invitation-not-found"
    title = "There is no such invitation."


class SignInRefused(Unauthenticated):
    """An identity provider's answer does not let anybody in; the log says why."""

    code = "sign-in-refused"
    title = "The sign-in was refused."

    def __init__(
        self,
        detail: str | None = None,
        *,
        reason: str | None = None,
        subject: str | None = None,
    ) -> None:
        super().__init__(
            detail
            or "The sign-in could not be verified. Begin again; if that does "
            "not help, an administrator finds the reason in this server's log."
        )
        self.reason = reason or self.detail
        """For the log: what was wrong."""
        self.subject = subject
        """Who it is at the provider for certain, if the settings do not let them in."""


class SignInUnavailable(ServerError):
    """The identity provider is down, slow, or not what the settings say."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "sign-in-unavailable"
    title = "The identity provider does not answer as it should."

    def __init__(self, detail: str | None = None, *, reason: str | None = None) -> None:
        super().__init__(
            detail
            or "The identity provider does not answer as it should. Passwords "
            "and API keys work. Try again later; the reason is in this server's log."
        )
        self.reason = reason or self.detail
        """For the log: what was wrong."""
