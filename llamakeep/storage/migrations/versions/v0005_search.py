"""
Index what is looked for in histories: words, models, API keys and failures.

A text is indexed once, after its run is finished: while it streams it costs nothing. On
SQLite, that is before a search, or when the server is idle.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_IS_FINISHED = "status IN ('canceled', 'expired', 'failed', 'interrupted', 'succeeded')"
_FAILED = sa.text("status IN ('canceled', 'expired', 'failed', 'interrupted')")
_OLDEST_SECURE_DELETE = (3, 42, 0)

_NUMBER_ONE = "INSERT INTO search_runs (run_id) VALUES (new.id);"
_ON_SQLITE = (
    # A number for each finished run; SQLite's own may change in a VACUUM. Those above
    # the highest in `search_words` are still to be indexed.
    (
        "CREATE TABLE search_runs ("
        "number INTEGER PRIMARY KEY, run_id VARCHAR(32) NOT NULL UNIQUE)"
    ),
    # The texts stay where they are, in `runs`.
    (
        "CREATE VIRTUAL TABLE search_words USING fts5("
        "owner, prompt, response, content='', "
        "tokenize='unicode61 remove_diacritics 0')"
    ),
    (
        "INSERT INTO search_runs (run_id) "  # noqa: S608 - only the constants above
        f"SELECT id FROM runs WHERE {_IS_FINISHED} ORDER BY id"
    ),
    (
        "CREATE TRIGGER search_finished AFTER UPDATE OF status ON runs "
        f"WHEN new.{_IS_FINISHED} AND NOT old.{_IS_FINISHED} BEGIN {_NUMBER_ONE} END"
    ),
    (
        "CREATE TRIGGER search_imported AFTER INSERT ON runs "
        f"WHEN new.{_IS_FINISHED} BEGIN {_NUMBER_ONE} END"
    ),
    # FTS5 has to be told what it has of a text in order to forget it.
    (
        "CREATE TRIGGER search_deleted AFTER DELETE ON runs "  # noqa: S608 - likewise
        f"WHEN old.{_IS_FINISHED} BEGIN "
        "INSERT INTO search_words (search_words, rowid, owner, prompt, response) "
        "SELECT 'delete', number, substr(old.user_id, instr(old.user_id, '_') + 1), "
        "substr(old.prompt, 1, 100000), substr(old.response, 1, 100000) "
        "FROM search_runs WHERE run_id = old.id "
        "AND EXISTS (SELECT 1 FROM search_words WHERE rowid = number); "
        "DELETE FROM search_runs WHERE run_id = old.id; END"
    ),
)
# Signs become spaces, so that both databases agree on what a word is.
_POSTGRESQL_TEXT = (
    "to_tsvector('simple', translate("
    "left(prompt, 100000) || ' ' || left(response, 100000), "
    """'!"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~', repeat(' ', 32)))"""
)
_ON_POSTGRESQL = (
    # Its text search knows no users, so that the user is one of the words.
    (
        "ALTER TABLE runs ADD COLUMN search_words tsvector GENERATED ALWAYS AS ("
        f"CASE WHEN {_IS_FINISHED} THEN array_to_tsvector(ARRAY[user_id::text]) "
        f"|| {_POSTGRESQL_TEXT} END) STORED"
    ),
    "CREATE INDEX search_by_words ON runs USING gin (search_words)",
)


def upgrade() -> None:
    """Apply this step."""
    op.drop_index("runs_by_user", "runs")
    op.create_index("runs_by_user", "runs", ["user_id", "id", "model", "api_key_id"])
    op.create_index(
        "runs_that_failed",
        "runs",
        ["user_id", "status", "id"],
        sqlite_where=_FAILED,
        postgresql_where=_FAILED,
    )
    connection = op.get_bind()
    is_shared = connection.dialect.name == "postgresql"
    for statement in _ON_POSTGRESQL if is_shared else _ON_SQLITE:
        connection.exec_driver_sql(statement)
    version = getattr(connection.dialect.loaded_dbapi, "sqlite_version_info", ())
    if version >= _OLDEST_SECURE_DELETE:
        # What is deleted is to be gone from the file, not only from sight.
        connection.exec_driver_sql(
            "INSERT INTO search_words (search_words, rank) VALUES ('secure-delete', 1)"
        )


def downgrade() -> None:
    """Take this step back."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute("ALTER TABLE runs DROP COLUMN search_words")
    else:
        for trigger in ("finished", "imported", "deleted"):
            op.execute(f"DROP TRIGGER search_{trigger}")
        op.execute("DROP TABLE search_words")
        op.execute("DROP TABLE search_runs")
    op.drop_index("runs_that_failed", "runs")
    op.drop_index("runs_by_user", "runs")
    op.create_index("runs_by_user", "runs", ["user_id", "id"])
