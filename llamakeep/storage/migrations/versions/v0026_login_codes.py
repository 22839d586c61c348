"""Keep codes with which the page logs in a command line."""

import sqlalchemy as sa
from alembic import op

from llamakeep.storage.database.columns import UtcDateTime

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "login_codes",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("challenge", sa.String(64), nullable=False),
        sa.Column("login_ends_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="login_codes_pk"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="login_codes_user_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_index("login_codes_by_user_id", "login_codes", ["user_id"])


def downgrade() -> None:
    """Take this step back: codes of the last minutes are lost."""
    op.drop_table("login_codes")
