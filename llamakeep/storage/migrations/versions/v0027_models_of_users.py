"""
Keep which models a user may ask.

It is empty in rows from before, so that neither database writes a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("users", sa.Column("models", sa.JSON))


def downgrade() -> None:
    """Take this step back: all users may ask all models."""
    op.drop_column("users", "models")
