"""
Keep for whom a client sends its prompts, and find what was asked for one of them.

No row has an end user yet, so that neither database writes one, and the index is empty.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# While the index is made, which reads all runs: see `scripts/time_migrations.py`.
SECONDS_OF_A_MILLION_RUNS = {"postgresql": 1.1, "sqlite": 1.1}

_HAS_ONE = sa.text("end_user IS NOT NULL")


def upgrade() -> None:
    """Apply this step."""
    op.add_column("runs", sa.Column("end_user", sa.String(512)))
    op.create_index(
        "runs_by_end_user",
        "runs",
        ["user_id", "end_user", "id"],
        sqlite_where=_HAS_ONE,
        postgresql_where=_HAS_ONE,
    )


def downgrade() -> None:
    """Take this step back; end users are lost."""
    op.drop_index("runs_by_end_user", "runs")
    op.drop_column("runs", "end_user")
