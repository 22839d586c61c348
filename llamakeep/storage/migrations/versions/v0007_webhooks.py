"""Keep webhooks that are to be sent, and what they are signed with."""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0007"
down_revision = "0006"

_IS_DUE_ONCE = sa.text("next_try_at IS NOT NULL")


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "webhook_secrets",
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("previous", sa.String(64)),
        sa.Column("previous_until", UtcDateTime),
        sa.PrimaryKeyConstraint("user_id", name="webhook_secrets_pk"),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name="webhook_secrets_user_id_fk",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("host", sa.String(300), nullable=False),
        sa.Column("form", sa.String(16), nullable=False),
        sa.Column("origin", sa.Text),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_try_at", UtcDateTime),
        sa.Column("last_error", sa.String(256)),
        sa.PrimaryKeyConstraint("id", name="notifications_pk"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name="notifications_run_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("notifications_by_run_id", "notifications", ["run_id"])
    op.create_index(
        "notifications_due",
        "notifications",
        ["next_try_at"],
        sqlite_where=_IS_DUE_ONCE,
        postgresql_where=_IS_DUE_ONCE,
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("notifications")
    op.drop_table("webhook_secrets")
