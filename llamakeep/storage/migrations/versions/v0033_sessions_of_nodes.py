"""Keep whether a node had a session, so that one that is gone means something."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    had_session = sa.Column(
        "had_session", sa.Boolean, nullable=False, server_default=sa.false()
    )
    op.add_column("nodes", had_session)


def downgrade() -> None:
    """Take this step back."""
    op.drop_column("nodes", "had_session")
