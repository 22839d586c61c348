"""
Keep of each login what its user has to know to end it.

Of logins from before nothing more is known. From where a login came is in the audit log
alone.
"""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("access_tokens", sa.Column("is_cookie", sa.Boolean))
    op.add_column("access_tokens", sa.Column("last_used_at", UtcDateTime))
    op.add_column("access_tokens", sa.Column("event_id", sa.String(32)))


def downgrade() -> None:
    """Take this step back."""
    for column in ("event_id", "last_used_at", "is_cookie"):
        op.drop_column("access_tokens", column)
