"""Keep what clients of other APIs bring along, costs, gates and webhooks."""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import Dollars, UtcDateTime

revision = "0002"
down_revision = "0001"

_COLUMNS = (
    ("earlier", sa.JSON(none_as_null=True)),
    ("previous_run_id", sa.String(32)),
    ("cost", Dollars),
)


def upgrade() -> None:
    """Apply this step."""
    for name, type_ in _COLUMNS:
        op.add_column("runs", sa.Column(name, type_))
    op.create_table(
        "gates",
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("closed_until", UtcDateTime),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_detail", sa.Text),
        sa.PrimaryKeyConstraint("provider", name="gates_pk"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="deliveries_pk"),
    )
    op.create_index("deliveries_by_received_at", "deliveries", ["received_at"])


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("deliveries")
    op.drop_table("gates")
    for name, _ in _COLUMNS:
        op.drop_column("runs", name)
