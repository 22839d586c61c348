"""Create API keys, and note which of them asked."""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("hint", sa.String(8), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("models", sa.JSON(none_as_null=True)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("last_used_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="api_keys_pk"),
        sa.UniqueConstraint("digest", name="api_keys_digest_unique"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="api_keys_user_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("api_keys_by_user_id", "api_keys", ["user_id"])
    op.add_column("runs", sa.Column("api_key_id", sa.String(32)))


def downgrade() -> None:
    """Take this step back."""
    op.drop_column("runs", "api_key_id")
    op.drop_table("api_keys")
