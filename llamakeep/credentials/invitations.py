"""Making invitations."""

from collections.abc import Collection
from datetime import timedelta

from llamakeep.credentials.tokens import new_invitation_token
from llamakeep.domain import Invitation, Limits, UserRole, new_id, utc_now
from llamakeep.errors import InvalidRequest

DAYS = 7
"""For how many days an invitation is valid, unless it is said."""

LONGEST_DAYS = 30
LONGEST_EMAIL = 254


def issue_invitation(
    *,
    email: str | None = None,
    role: UserRole = UserRole.USER,
    limits: Limits | None = None,
    models: Collection[str] | None = None,
    lifetime: timedelta = timedelta(days=DAYS),
) -> tuple[Invitation, str]:
    """
    Return a new one and its token, of which only the digest is to be stored.

    Raises:
        InvalidRequest: `email` is too long.
    """
    if email is not None and not 0 < len(email) <= LONGEST_EMAIL:
        raise InvalidRequest.of(
            "email", f"It has 1 to {LONGEST_EMAIL} characters, or is left out."
        )
    now = utc_now()
    invitation = Invitation(
        id=new_id("inv_"),
        email=email,
        role=role,
        limits=limits,
        models=None if models is None else frozenset(models),
        created_at=now,
        expires_at=now + lifetime,
    )
    return invitation, new_invitation_token()
