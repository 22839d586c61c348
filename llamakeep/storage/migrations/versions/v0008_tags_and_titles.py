"""Find runs by their tags, keep titles of conversations, and say how long runs stay."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_PAIRS = {
    "sqlite": "json_each(runs.metadata) AS pair WHERE runs.metadata <> '{}'",
    "postgresql": (
        "json_each_text(runs.metadata) AS pair WHERE runs.metadata::text <> '{}'"
    ),
}


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "run_tags",
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("tag", sa.String(577), nullable=False),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "tag", "run_id", name="run_tags_pk"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name="run_tags_run_id_fk", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    pairs = _PAIRS[op.get_bind().dialect.name]
    op.execute(
        "INSERT INTO run_tags (user_id, tag, run_id) "  # noqa: S608 - only constants
        f"SELECT user_id, pair.key, runs.id FROM runs, {pairs} UNION "
        f"SELECT user_id, pair.key || ':' || pair.value, runs.id FROM runs, {pairs}"
    )
    op.create_index("run_tags_by_run_id", "run_tags", ["run_id"])
    op.create_table(
        "conversation_titles",
        sa.Column("conversation_id", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", name="conversation_titles_pk"),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name="conversation_titles_user_id_fk",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "conversation_titles_by_user_id", "conversation_titles", ["user_id"]
    )
    op.add_column("users", sa.Column("retention_days", sa.Integer))
    op.add_column("users", sa.Column("own_retention_days", sa.Integer))


def downgrade() -> None:
    """Take this step back."""
    op.drop_column("users", "own_retention_days")
    op.drop_column("users", "retention_days")
    op.drop_table("conversation_titles")
    op.drop_table("run_tags")
