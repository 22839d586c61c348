"""Keep invitations: links with which people make accounts, once."""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "invitations",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("limits", sa.JSON),
        sa.Column("email", sa.String(254)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="invitations_pk"),
        sa.UniqueConstraint("digest", name="invitations_digest_unique"),
    )


def downgrade() -> None:
    """Take this step back: open invitations are lost."""
    op.drop_table("invitations")
