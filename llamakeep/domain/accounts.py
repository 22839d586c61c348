"""Users, API keys, and audit events."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from llamakeep.domain.limits import Limits
from llamakeep.domain.values import value


class Scope(StrEnum):
    """A permission of an API key."""

    PROMPT = "prompt"
    """Send prompts, follow their answers, and stop them."""
    HISTORY = "history"
    """Read the history."""
    DELETE = "delete"
    """Delete from the history."""
    KEYS = "keys"
    """Create API keys with no more rights than this one, and revoke any."""
    ADMIN = "admin"
    """Manage users, as long as the key's owner is an administrator."""


@value
class ApiKey:
    """An API key; programs authenticate with its secret."""

    id: str
    name: str
    hint: str
    """The secret's last characters, to tell keys apart."""
    scopes: frozenset[Scope]
    models: frozenset[str] | None
    """What it may ask: `provider:model`, `provider:*` or aliases; `None` for all."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """Precise to a minute."""
    limits: Limits | None = None
    """Its limits, within its owner's."""
    keeps: bool = True
    """Whether the texts of its runs are kept after their end."""


class UserRole(StrEnum):
    """A user's role."""

    USER = "user"
    """No further rights."""
    ADMIN = "admin"
    """Manages users, and reads the audit log."""


@dataclass(frozen=True, slots=True)
class User:
    """A person or program with an account."""

    id: str
    username: str
    created_at: datetime
    disabled_at: datetime | None = None
    role: UserRole = UserRole.USER
    limits: Limits | None = None
    """Set by an administrator; the settings' limits apply to the others."""
    keeps: bool = True
    """Whether the texts of their runs are kept after the end, with any key."""
    is_service: bool = False
    """Whether it is a service account: it has no login, and only API keys."""
    models: frozenset[str] | None = None
    """What they may ask with any key, as `ApiKey.models`; `None` for all."""
    api_key: ApiKey | None = None
    """The API key of the request; `None` for a login, which has all scopes."""

    @property
    def keeps_texts(self) -> bool:
        """Whether the texts of what is asked now are kept after its end."""
        return self.keeps and (self.api_key is None or self.api_key.keeps)


@value
class Actor:
    """The client that causes an event."""

    user: User | None = None
    """`None` without a login, or on the command line."""
    address: str | None = None
    user_agent: str | None = None
    """The User-Agent header."""


@value
class Login:
    """A login: an access token that is not over."""

    id: str
    is_cookie: bool
    """Whether a browser keeps it."""
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    """Of a cookie, now and then; `None` where it is not noted."""
    address: str | None
    """Where it began; this and the next as in the audit log."""
    user_agent: str | None


@value
class Invitation:
    """What lets a person make an account, once, by a link."""

    id: str
    role: UserRole
    limits: Limits | None
    models: frozenset[str] | None
    """The only models and aliases that the user may ask; `None` for all."""
    email: str | None
    """The recipient, in an administrator's words; nothing is sent."""
    created_at: datetime
    expires_at: datetime


class AuditKind(StrEnum):
    """The kinds of audit events."""

    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGIN_GRANTED = "login.granted"
    LOGOUT = "logout"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - it is none
    RESET_ISSUED = "reset.issued"
    RESET_USED = "reset.used"
    INVITATION_CREATED = "invitation.created"
    INVITATION_USED = "invitation.used"
    INVITATION_REVOKED = "invitation.revoked"
    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    USER_CREATED = "user.created"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_DELETED = "user.deleted"
    USER_PURGED = "user.purged"
    ROLE_CHANGED = "role.changed"
    LIMITS_CHANGED = "limits.changed"
    RETENTION_CHANGED = "retention.changed"
    RETENTION_APPLIED = "retention.applied"
    KEEPING_CHANGED = "keeping.changed"
    MODELS_CHANGED = "models.changed"
    WEBHOOK_SECRET_ROTATED = "webhook-secret.rotated"  # noqa: S105 - it is none


@value
class AuditEvent:
    """An audit event; it outlives the user."""

    id: str
    at: datetime
    kind: AuditKind
    user_id: str | None
    """The account; `None` for a login with an unknown name."""
    username: str | None
    actor_id: str | None
    """The user who caused it; `None` without a login."""
    actor_username: str | None
    api_key_id: str | None
    """The API key of the request."""
    detail: str | None
    """Which API key, which role."""
    address: str | None
    user_agent: str | None
