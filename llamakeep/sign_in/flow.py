"""What a browser keeps while it signs in."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from llamakeep.errors import SignInRefused

LONGEST_FLOW = 600
"""Seconds that a user may take at the provider."""

_PARTS = 4
"""At least; an invitation may follow."""


@dataclass(frozen=True, slots=True)
class Flow:
    """
    What one browser has to bring back to sign in, once.

    The browser keeps it in a cookie, so that any process of any server can go on.
    """

    state: str
    """Ties the provider's redirect to this browser."""
    nonce: str
    """Ties the ID token to this flow."""
    verifier: str
    """Ties the code to this flow (PKCE)."""
    begun_at: int
    invitation: str = ""
    """The token of the invitation by which a new user comes, if any."""

    @classmethod
    def begin(cls, now: float, invitation: str = "") -> Self:
        """Return a new one."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, int(now), invitation)

    @classmethod
    def read(cls, cookie: str) -> Self | None:
        """Return what a cookie has, if it is one of these."""
        parts = cookie.split(".")
        is_one = len(parts) in {_PARTS, _PARTS + 1} and all(parts)
        if not is_one or not parts[3].isdecimal():
            return None
        return cls(parts[0], parts[1], parts[2], int(parts[3][:12]), *parts[_PARTS:])

    def check(self, state: str | None, now: float) -> None:
        """
        Check that the provider's redirect is this browser's, and not too late.

        Raises:
            SignInRefused: It is not.
        """
        said = (state or "").encode()
        if not hmac.compare_digest(said, self.state.encode()):
            raise SignInRefused(
                "This browser has not begun this sign-in, or has begun another one "
                "since. Begin again.",
                reason="the state is not the one of this browser's cookie",
            )
        if not -LONGEST_FLOW < now - self.begun_at < LONGEST_FLOW:
            raise SignInRefused(
                "This sign-in took more than ten minutes. Begin again.",
                reason="it began more than ten minutes ago",
            )

    @property
    def cookie(self) -> str:
        """What a cookie keeps of it."""
        kept = f"{self.state}.{self.nonce}.{self.verifier}.{self.begun_at}"
        return f"{kept}.{self.invitation}" if self.invitation else kept

    @property
    def challenge(self) -> str:
        """The code challenge of the verifier (RFC 7636), which the provider gets."""
        digest = sha256(self.verifier.encode()).digest()
        return urlsafe_b64encode(digest).decode().rstrip("=")
