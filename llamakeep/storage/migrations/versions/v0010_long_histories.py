"""Let users be gone at once, and what is theirs a little later."""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.columns import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_IS_DELETED = sa.text("deleted_at IS NOT NULL")


def upgrade() -> None:
    """Apply this step."""
    op.add_column("users", sa.Column("deleted_at", UtcDateTime))
    op.add_column("users", sa.Column("purge_until", UtcDateTime))
    op.create_index(
        "users_deleted",
        "users",
        ["purge_until"],
        sqlite_where=_IS_DELETED,
        postgresql_where=_IS_DELETED,
    )


def downgrade() -> None:
    """Take this step back."""
    # Before it, a user was either there or had nothing left.
    op.execute("DELETE FROM users WHERE deleted_at IS NOT NULL")
    op.drop_index("users_deleted", "users")
    op.drop_column("users", "purge_until")
    op.drop_column("users", "deleted_at")
