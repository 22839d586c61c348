"""
Authentication, links, and signed URLs of streams.

Replicate's JavaScript library sends no access token to a stream's URL, so the URL is
signed. The signing key is the digest of the client's access token or API key: no other
secret is needed, any node can verify the URL, and it expires with the token or key, or
after a day.
"""

import hmac
import re
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security

from llamakeep.api.dependencies import AuthUser, auth_user, presented
from llamakeep.api.http.links import origin_of
from llamakeep.credentials.tokens import digest
from llamakeep.domain import Run, Scope, User
from llamakeep.errors import Unauthenticated
from llamakeep.services import services_of

PREFIX = "/replicate/v1"
STREAM_LIFETIME = 24 * 3600
"""Seconds for which a stream's URL is valid."""

_SCHEMES = ("bearer", "token")
_CREDENTIAL = re.compile(r"([0-9a-z]{26})([0-9a-z]{26})([0-9a-f]{8})([\w-]{43})")


class _AuthUser(AuthUser):
    """Accepts `Authorization: Token …`, too, as Replicate's older clients send it."""

    schemes = _SCHEMES


_auth_user = _AuthUser(
    scheme_name=auth_user.scheme_name, description=auth_user.model.description
)

CurrentUser = Annotated[User, Depends(_auth_user)]
PromptingUser = Annotated[User, Security(_auth_user, scopes=[Scope.PROMPT])]
FollowingUser = Annotated[
    User, Security(_auth_user, scopes=[Scope.PROMPT, Scope.HISTORY])
]
ReadingUser = Annotated[User, Security(_auth_user, scopes=[Scope.HISTORY])]


@dataclass(frozen=True, slots=True)
class Links:
    """URLs for the client of a request."""

    origin: str
    """How URLs of this server begin."""
    digest: bytes | None
    """The digest of the client's access token or API key, which signs stream URLs."""

    @classmethod
    def of(cls, request: Request) -> "Links":
        """Return the links for the client of `request`."""
        return cls(origin_of(request), digest(presented(request, _SCHEMES)))

    def to(self, path: str) -> str:
        """Return the URL of `path` in Replicate's API."""
        return f"{self.origin}{PREFIX}{path}"

    def to_stream(self, run: Run) -> str:
        """Return a signed URL of the stream of `run`, which needs no access token."""
        assert self.digest is not None
        expires = int(time.time()) + STREAM_LIFETIME
        user_id, run_id = run.user_id[-26:], run.id[-26:]
        signature = _signature(self.digest, user_id, run_id, expires)
        return self.to(f"/streams/{user_id}{run_id}{expires:08x}{signature}")


async def reader_of(request: Request, credential: str) -> tuple[User, str]:
    """
    Verify a signed stream URL; return its user and the id of the run.

    Raises:
        Unauthenticated: The URL is forged, expired, or of an invalid token or key.
    """
    refusal = Unauthenticated(
        "This address of a stream is not valid, or not any more. Get the prediction "
        "again: it comes with a new one."
    )
    match = _CREDENTIAL.fullmatch(credential)
    if match is None:
        raise refusal
    user_id, run_id, expires = match[1], match[2], int(match[3], 16)
    if expires < time.time():
        raise refusal
    try:
        user, digests = await services_of(request).storage.find_digests(
            f"user_{user_id}"
        )
    except Unauthenticated:
        raise refusal from None
    for known in digests:
        expected = _signature(known, user_id, run_id, expires)
        if hmac.compare_digest(expected, match[4]):
            return user, f"run_{run_id}"
    raise refusal


def _signature(secret: bytes, user_id: str, run_id: str, expires: int) -> str:
    said = f"replicate stream {user_id} {run_id} {expires}".encode()
    return urlsafe_b64encode(hmac.digest(secret, said, "sha256")).decode().rstrip("=")
