"""
Keep what messages and answers have beside text.

Both columns are empty in rows from before, so that neither database writes a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_COLUMNS = ("last_message", "output")


def upgrade() -> None:
    """Apply this step."""
    for name in _COLUMNS:
        op.add_column("runs", sa.Column(name, sa.JSON(none_as_null=True)))


def downgrade() -> None:
    """Take this step back; what is not text is lost."""
    for name in reversed(_COLUMNS):
        op.drop_column("runs", name)
