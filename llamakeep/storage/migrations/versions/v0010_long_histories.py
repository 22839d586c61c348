"""
Let long histories be deleted in the background, and be read more quickly.

Users are gone at once, and what is theirs a little later. Conversations are found in an
index alone; PostgreSQL keeps what it has of a run's words beside the run, where looking
at it costs one page instead of five. That is so for runs that end from now on.
"""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0010"
down_revision = "0009"

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
    _index("user_id", "id", "model", "api_key_id", "conversation_id")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE runs SET (toast_tuple_target = 8160)")


def downgrade() -> None:
    """Take this step back."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE runs RESET (toast_tuple_target)")
    _index("user_id", "id", "model", "api_key_id")
    # Before it, a user was either there or had nothing left.
    op.execute("DELETE FROM users WHERE deleted_at IS NOT NULL")
    op.drop_index("users_deleted", "users")
    op.drop_column("users", "purge_until")
    op.drop_column("users", "deleted_at")


def _index(*columns: str) -> None:
    op.drop_index("runs_by_user", "runs")
    op.create_index("runs_by_user", "runs", columns)
