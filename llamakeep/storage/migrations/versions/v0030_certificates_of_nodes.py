"""Keep where nodes on other machines reach a node, and what proves that it is that."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("nodes", sa.Column("remote_address", sa.String(300)))
    op.add_column("nodes", sa.Column("certificate", sa.Text))


def downgrade() -> None:
    """Take this step back."""
    op.drop_column("nodes", "certificate")
    op.drop_column("nodes", "remote_address")
