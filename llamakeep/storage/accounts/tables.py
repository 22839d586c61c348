"""The tables of accounts, as the newest migration leaves them."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    false,
    true,
)

from llamakeep.domain import Limits, UserRole
from llamakeep.storage.database.columns import (
    Facts,
    UtcDateTime,
    metadata,
    owner,
    words_of,
)

users = Table(
    "users",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("username", String(64), nullable=False),
    # Case folding turns one character into up to three.
    Column("username_key", String(3 * 64), nullable=False, unique=True),
    Column("password_hash", String(256)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
    Column("role", words_of(UserRole), nullable=False, server_default=UserRole.USER),
    Column("limits", Facts(Limits)),
    # Set by an administrator, and by the user.
    Column("retention_days", Integer),
    Column("own_retention_days", Integer),
    # Whether the texts of their runs stay after the end.
    Column("keeps", Boolean, nullable=False, server_default=true()),
    # What an administrator lets them ask, if not all.
    Column("models", Facts(frozenset[str])),
    # Whether it has no login, and programs use its API keys.
    Column("is_service", Boolean, nullable=False, server_default=false()),
    # A deleted user's row stays until all of their data is deleted.
    Column("deleted_at", UtcDateTime),
    # The lease of the process that purges the user.
    Column("purge_until", UtcDateTime),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    owner(),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("is_cookie", Boolean),
    Column("last_used_at", UtcDateTime),
    Column("event_id", String(32)),  # of the audit log
    # Whether it ends when it said at first, however much it is used.
    Column("is_final", Boolean),
)

login_codes = Table(
    "login_codes",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    owner(),
    # SHA-256 of what only the program knows that asked.
    Column("challenge", String(64), nullable=False),
    # When the login ends that a code is exchanged for.
    Column("login_ends_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

identities = Table(
    "identities",
    metadata,
    # Who says so, and who it is there.
    Column("issuer", String(255), primary_key=True),
    Column("subject", String(255), primary_key=True),
    owner(),
    Column("created_at", UtcDateTime, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    owner(),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("hint", String(8), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("models", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("limits", Facts(Limits)),
    Column("keeps", Boolean, nullable=False, server_default=true()),
)

password_resets = Table(
    "password_resets",
    metadata,
    # The primary key: a new token replaces the user's earlier one.
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("expires_at", UtcDateTime, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("role", words_of(UserRole), nullable=False),
    Column("limits", Facts(Limits)),
    Column("models", Facts(frozenset[str])),
    # Of the administrator who made it; it ends with them. Empty: the command line.
    Column("made_by", String(32)),
    # The recipient, in an administrator's words.
    Column("email", String(254)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(32), nullable=False),
    # Without foreign keys: events outlive their users.
    Column("user_id", String(32)),
    Column("username", String(64)),
    Column("actor_id", String(32)),
    Column("actor_username", String(64)),
    Column("api_key_id", String(32)),
    Column("detail", String(256)),
    Column("address", String(64)),
    Column("user_agent", String(256)),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    # Readable, unlike all other secrets: webhooks are signed with it.
    Column("secret", String(64), nullable=False),
    # The previous secret, which signs as well for a while.
    Column("previous", String(64)),
    Column("previous_until", UtcDateTime),
)

# The migrations create PostgreSQL's, with its condition.
Index(
    "users_deleted",
    users.c.purge_until,
    sqlite_where=users.c.deleted_at.is_not(None),
)
