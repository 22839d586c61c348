"""
Keep what messages and answers have beside text, and let it be found.

Both columns are empty in rows from before, so that neither database writes a row, and
the words of those rows stay the same.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_OLDEST_SECURE_DELETE = (3, 42, 0)
_COLUMNS = ("last_message", "output")
_IS_FINISHED = "status IN ('canceled', 'expired', 'failed', 'interrupted', 'succeeded')"


def upgrade() -> None:
    """Apply this step."""
    for name in _COLUMNS:
        op.add_column("runs", sa.Column(name, sa.JSON(none_as_null=True)))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER search_deleted")
        _forget_words_of("old.response, old.output")


def downgrade() -> None:
    """Take this step back; what is not text is lost."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("DROP TRIGGER search_deleted")
    for name in reversed(_COLUMNS):
        op.drop_column("runs", name)
    if is_sqlite:
        _forget_words_of("old.response")
        _make_index_anew()


def _forget_words_of(response: str) -> None:
    # FTS5 has to be told what it has of a text in order to forget it.
    op.get_bind().exec_driver_sql(
        "CREATE TRIGGER search_deleted AFTER DELETE ON runs "  # noqa: S608 - constants
        f"WHEN old.{_IS_FINISHED} BEGIN "
        "INSERT INTO search_words (search_words, rowid, prompt, response) "
        "SELECT 'delete', number, own_words(old.user_id, old.prompt), "
        f"own_words(old.user_id, {response}) FROM search_runs WHERE run_id = old.id "
        "AND EXISTS (SELECT 1 FROM search_words WHERE rowid = number); "
        "DELETE FROM search_runs WHERE run_id = old.id; END"
    )


def _make_index_anew() -> None:
    """Empty the index, since it has words that could not be made again."""
    connection = op.get_bind()
    op.execute("DROP TABLE search_words")
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE search_words USING fts5(prompt, response, content='', "
        "tokenize='ascii')"
    )
    version = getattr(connection.dialect.loaded_dbapi, "sqlite_version_info", ())
    if version >= _OLDEST_SECURE_DELETE:
        connection.exec_driver_sql(
            "INSERT INTO search_words (search_words, rank) VALUES ('secure-delete', 1)"
        )
