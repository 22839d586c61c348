"""
Remember which runs are still indexed as an earlier version did.

PostgreSQL alone has such runs: those from before the migration that normalises words.
Servers bring them up to date, from the oldest to the newest, and delete the row when
that is done: see `storage/reindexing.py`.
"""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply this step."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TABLE search_reindexing (done varchar(32) NOT NULL, "
            "until varchar(32) NOT NULL)"
        )
        op.execute(
            "INSERT INTO search_reindexing "
            "SELECT '', max(id) FROM runs HAVING max(id) IS NOT NULL"
        )


def downgrade() -> None:
    """Take this step back."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TABLE search_reindexing")
