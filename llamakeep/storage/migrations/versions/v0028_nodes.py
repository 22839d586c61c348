"""
Keep one lease for each node, instead of one for each run.

Runs of servers that ran before are left: the first one that starts takes them over.
"""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("lease_until", UtcDateTime),
        sa.Column("is_dead", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="nodes_pk"),
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("nodes")
