"""
Mark the runs whose texts are erased at their end, and users and API keys of such runs.

The column of runs is empty in rows from before, so that neither database writes a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("runs", sa.Column("store", sa.Boolean))
    for table in ("users", "api_keys"):
        keeps = sa.Column("keeps", sa.Boolean, nullable=False, server_default=sa.true())
        op.add_column(table, keeps)


def downgrade() -> None:
    """Take this step back; the texts of unfinished runs stay from then on."""
    for table in ("api_keys", "users"):
        op.drop_column(table, "keeps")
    op.drop_column("runs", "store")
