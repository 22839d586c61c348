"""
Remember when the clock was last plausible.

Of a database that has runs already, that is when its newest one was made: the first
start of this version may be the one with the wrong clock.
"""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="clock_pk"),
    )
    op.execute(
        "INSERT INTO clock (id, seen_at) "
        "SELECT 1, created_at FROM runs ORDER BY id DESC LIMIT 1"
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("clock")
