"""Let some users manage the others, and remember what happened to accounts."""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply this step."""
    role = sa.Column("role", sa.String(16), nullable=False, server_default="user")
    op.add_column("users", role)
    op.create_table(
        "password_resets",
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="password_resets_pk"),
        sa.UniqueConstraint("digest", name="password_resets_digest_unique"),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name="password_resets_user_id_fk",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32)),
        sa.Column("username", sa.String(64)),
        sa.Column("actor_id", sa.String(32)),
        sa.Column("actor_username", sa.String(64)),
        sa.Column("api_key_id", sa.String(32)),
        sa.Column("detail", sa.String(256)),
        sa.Column("address", sa.String(64)),
        sa.Column("user_agent", sa.String(256)),
        sa.PrimaryKeyConstraint("id", name="audit_events_pk"),
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("audit_events")
    op.drop_table("password_resets")
    op.drop_column("users", "role")
