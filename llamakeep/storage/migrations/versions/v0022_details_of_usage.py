"""
Keep how many tokens came from a provider's cache, and how many were reasoning.

Both columns are empty in rows from before, so that neither database writes a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("runs", sa.Column("cached_tokens", sa.Integer))
    op.add_column("runs", sa.Column("reasoning_tokens", sa.Integer))


def downgrade() -> None:
    """Take this step back; both are lost."""
    op.drop_column("runs", "reasoning_tokens")
    op.drop_column("runs", "cached_tokens")
