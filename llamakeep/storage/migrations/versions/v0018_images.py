"""
Keep images, once for each user.

When the last run that shows an image is deleted, whatever deletes it, a trigger deletes
the image. On PostgreSQL it locks the image first: a transaction that shows it in a new
run holds a lock of its own, as the foreign key wants, and the trigger's next statement
sees what that one has committed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_IS_IT = "user_id = old.user_id AND sha256 = old.sha256"
_DELETE = (
    f"DELETE FROM images WHERE {_IS_IT} AND NOT EXISTS "  # noqa: S608 - constants
    f"(SELECT 1 FROM run_images WHERE {_IS_IT})"
)
_ON_SQLITE = (
    f"CREATE TRIGGER images_unshown AFTER DELETE ON run_images BEGIN {_DELETE}; END"
)
_ON_POSTGRESQL = (
    f"""
    CREATE FUNCTION delete_unshown_image() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM 1 FROM images WHERE {_IS_IT} FOR UPDATE;
        {_DELETE};
        RETURN NULL;
    END $$
    """,
    (
        "CREATE TRIGGER images_unshown AFTER DELETE ON run_images "
        "FOR EACH ROW EXECUTE FUNCTION delete_unshown_image()"
    ),
)


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "images",
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("media_type", sa.String(32), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "sha256", name="images_pk"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="images_user_id_fk", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "run_images",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "sha256", name="run_images_pk"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name="run_images_run_id_fk", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id", "sha256"],
            ["images.user_id", "images.sha256"],
            name="run_images_image_fk",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("run_images_by_image", "run_images", ["user_id", "sha256"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_ON_SQLITE)
        return
    for statement in _ON_POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    """Take this step back; the images are lost."""
    op.drop_table("run_images")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION delete_unshown_image()")
    op.drop_table("images")
