"""Bound what users and API keys may use, and count what they do."""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import Dollars, UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply this step."""
    op.add_column("users", sa.Column("limits", sa.JSON))
    op.add_column("api_keys", sa.Column("limits", sa.JSON))
    op.add_column("runs", sa.Column("reservation", sa.JSON))
    op.create_table(
        "quotas",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(32)),
        sa.Column("ends_at", UtcDateTime),
        *(
            sa.Column(name, kind, nullable=False, server_default="0")
            for name, kind in (
                ("running", sa.Integer),
                ("tokens_used", sa.BigInteger),
                ("tokens_reserved", sa.BigInteger),
                ("cost_used", Dollars),
                ("cost_reserved", Dollars),
            )
        ),
        sa.PrimaryKeyConstraint("id", name="quotas_pk"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="quotas_user_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("quotas_by_user_id", "quotas", ["user_id"])


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("quotas")
    op.drop_column("runs", "reservation")
    op.drop_column("api_keys", "limits")
    op.drop_column("users", "limits")
