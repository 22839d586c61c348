"""Create users, their access tokens, and runs."""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0001"
down_revision = None

_STATUSES = (
    "queued",
    "starting",
    "processing",
    "succeeded",
    "failed",
    "canceled",
    "expired",
    "interrupted",
)


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "users",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("username_key", sa.String(192), nullable=False),
        sa.Column("password_hash", sa.String(256)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("disabled_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="users_pk"),
        sa.UniqueConstraint("username_key", name="users_username_key_unique"),
    )
    op.create_table(
        "access_tokens",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="access_tokens_pk"),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name="access_tokens_user_id_fk",
            ondelete="CASCADE",
        ),
    )
    op.create_index("access_tokens_by_user_id", "access_tokens", ["user_id"])
    op.create_table(
        "runs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column(
            "status", sa.Enum(*_STATUSES, native_enum=False, length=16), nullable=False
        ),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("response", sa.Text, nullable=False, server_default=""),
        sa.Column("common_length", sa.Integer),
        sa.Column("system_prompt", sa.Text),
        sa.Column("conversation_id", sa.String(32), nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("resolved_model", sa.String(256)),
        sa.Column("finish_reason", sa.String(64)),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_detail", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("finished_at", UtcDateTime),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(32)),
        sa.Column("lease_until", UtcDateTime),
        sa.Column(
            "cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()
        ),
        sa.Column("handle", sa.String(128)),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("request_digest", sa.LargeBinary(32)),
        sa.PrimaryKeyConstraint("id", name="runs_pk"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="runs_user_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("runs_by_user", "runs", ["user_id", "id"])
    op.create_index("runs_by_conversation", "runs", ["conversation_id", "id"])
    has_key = sa.text("idempotency_key IS NOT NULL")
    op.create_index(
        "runs_by_idempotency_key",
        "runs",
        ["user_id", "idempotency_key"],
        unique=True,
        sqlite_where=has_key,
        postgresql_where=has_key,
    )
    has_handle = sa.text("handle IS NOT NULL")
    op.create_index(
        "runs_by_handle",
        "runs",
        ["provider", "handle"],
        unique=True,
        sqlite_where=has_handle,
        postgresql_where=has_handle,
    )
    unfinished = sa.text("status IN ('processing', 'queued', 'starting')")
    op.create_index(
        "runs_unfinished",
        "runs",
        ["owner"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("runs")
    op.drop_table("access_tokens")
    op.drop_table("users")
