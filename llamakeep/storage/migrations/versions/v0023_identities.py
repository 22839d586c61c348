"""
Keep who users are at identity providers, and which logins are not extended.

Both are empty in databases from before, so that neither database writes a row.
"""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name="identities_pk"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="identities_user_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("identities_by_user_id", "identities", ["user_id"])
    op.add_column("access_tokens", sa.Column("is_final", sa.Boolean))


def downgrade() -> None:
    """Take this step back: who came through a provider cannot sign in any more."""
    op.drop_column("access_tokens", "is_final")
    op.drop_table("identities")
