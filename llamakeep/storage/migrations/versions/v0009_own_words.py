"""
Give each user lists of their own in SQLite's full-text index.

It is rebuilt as it was built: before a search, or when the server is idle.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

_IS_FINISHED = "status IN ('canceled', 'expired', 'failed', 'interrupted', 'succeeded')"
_OLDEST_SECURE_DELETE = (3, 42, 0)

# `own_words` is a function of ours: see `storage/words.py`.
_NEW = ("prompt, response", "own_words(old.user_id, {})")
_OLD = ("owner, prompt, response", "substr({}, 1, 100000)")


def upgrade() -> None:
    """Apply this step."""
    _make_anew(*_NEW)
    if op.get_bind().dialect.name == "sqlite":
        # A row for each time that the index was left with words of deleted runs.
        op.execute("CREATE TABLE search_traces (number INTEGER PRIMARY KEY)")


def downgrade() -> None:
    """Take this step back."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE search_traces")
    _make_anew(*_OLD, owner="substr(old.user_id, instr(old.user_id, '_') + 1), ")


def _make_anew(columns: str, words: str, owner: str = "") -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    op.execute("DROP TRIGGER search_deleted")
    op.execute("DROP TABLE search_words")
    connection.exec_driver_sql(
        f"CREATE VIRTUAL TABLE search_words USING fts5({columns}, content='', "
        "tokenize='unicode61 remove_diacritics 0')"
    )
    # FTS5 has to be told what it has of a text in order to forget it.
    connection.exec_driver_sql(
        "CREATE TRIGGER search_deleted AFTER DELETE ON runs "  # noqa: S608 - constants
        f"WHEN old.{_IS_FINISHED} BEGIN "
        f"INSERT INTO search_words (search_words, rowid, {columns}) "
        f"SELECT 'delete', number, {owner}{words.format('old.prompt')}, "
        f"{words.format('old.response')} FROM search_runs WHERE run_id = old.id "
        "AND EXISTS (SELECT 1 FROM search_words WHERE rowid = number); "
        "DELETE FROM search_runs WHERE run_id = old.id; END"
    )
    version = getattr(connection.dialect.loaded_dbapi, "sqlite_version_info", ())
    if version >= _OLDEST_SECURE_DELETE:
        # What is deleted is to be gone from the file, not only from sight.
        connection.exec_driver_sql(
            "INSERT INTO search_words (search_words, rank) VALUES ('secure-delete', 1)"
        )
