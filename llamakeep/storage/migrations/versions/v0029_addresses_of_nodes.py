"""Keep where nodes reach one another, and by what they know one another."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("nodes", sa.Column("address", sa.String(300)))
    op.add_column("nodes", sa.Column("secret", sa.String(64)))


def downgrade() -> None:
    """Take this step back."""
    op.drop_column("nodes", "secret")
    op.drop_column("nodes", "address")
