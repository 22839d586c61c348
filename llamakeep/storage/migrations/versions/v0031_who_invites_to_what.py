"""
Keep who made an invitation, and which models its user may ask.

Both are empty in rows from before, which end by themselves within 30 days.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("invitations", sa.Column("models", sa.JSON))
    op.add_column("invitations", sa.Column("made_by", sa.String(32)))


def downgrade() -> None:
    """Take this step back: users of open invitations may ask all models."""
    op.drop_column("invitations", "made_by")
    op.drop_column("invitations", "models")
