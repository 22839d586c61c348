"""
Mark service accounts: users without a login, whose API keys programs use.

The column has a constant default, so that neither database writes a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column(
        "users",
        sa.Column("is_service", sa.Boolean, nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    """Take this step back: service accounts are users who have no password."""
    op.drop_column("users", "is_service")
