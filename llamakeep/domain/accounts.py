"""Who comes in, with what, and what happens to accounts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from llamakeep.domain.limits import Limits
from llamakeep.domain.values import value


class Scope(StrEnum):
    """What an API key may be used for."""

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
    """A long-lived secret that lets a user's program in."""

    id: str
    name: str
    hint: str
    """The secret's last characters, to tell keys apart."""
    scopes: frozenset[Scope]
    models: frozenset[str] | None
    """The models it may ask, as `provider:model`; `None` for all."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """At most a minute old when the key is in use."""
    limits: Limits | None = None
    """How much may be used with it, within what its owner may."""


class UserRole(StrEnum):
    """What a user may do beyond their own affairs."""

    USER = "user"
    """Nothing."""
    ADMIN = "admin"
    """Manage users, and read what happened to accounts."""


@dataclass(frozen=True, slots=True)
class User:
    """A person or program with an account."""

    id: str
    username: str
    created_at: datetime
    disabled_at: datetime | None = None
    role: UserRole = UserRole.USER
    limits: Limits | None = None
    """What an administrator set for them; what that leaves open, the settings say."""
    api_key: ApiKey | None = None
    """What they came in with; `None` for a login, which may do everything."""


@value
class Actor:
    """Who brings something about, and from where."""

    user: User | None = None
    """`None` for whoever is not logged in, or is on this computer's command line."""
    address: str | None = None
    user_agent: str | None = None
    """What the program says that it is."""


class AuditKind(StrEnum):
    """What can happen to accounts, and to what lets into them."""

    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGOUT = "logout"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - it is none
    RESET_ISSUED = "reset.issued"
    RESET_USED = "reset.used"
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
    WEBHOOK_SECRET_ROTATED = "webhook-secret.rotated"  # noqa: S105 - it is none


@value
class AuditEvent:
    """Something that happened to an account; it outlives whom it is about."""

    id: str
    at: datetime
    kind: AuditKind
    user_id: str | None
    """Whose account it is; `None` for a login as nobody there is."""
    username: str | None
    actor_id: str | None
    """Who did it; `None` for whoever was not logged in."""
    actor_username: str | None
    api_key_id: str | None
    """The API key that it was done with."""
    detail: str | None
    """Which API key, which role."""
    address: str | None
    user_agent: str | None
