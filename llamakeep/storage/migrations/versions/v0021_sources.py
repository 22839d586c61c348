"""
Keep what a run came through, and when its first word came.

Both columns are empty in rows from before, so that neither database writes a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("runs", sa.Column("source", sa.String(32)))
    op.add_column("runs", sa.Column("first_word_after", sa.BigInteger))


def downgrade() -> None:
    """Take this step back; both are lost."""
    op.drop_column("runs", "first_word_after")
    op.drop_column("runs", "source")
