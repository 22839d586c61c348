"""
Let servers make the words that are indexed, alike for both databases.

PostgreSQL's own parser splits words by other rules than SQLite's index has, and its
case of letters depends on the locale. What servers of the earlier version finish while
they still run is indexed by these rules, in the trigger, and noted. Servers index it
and all older runs anew: see `storage/history/reindexing.py`.

`search_reindexing` stays, empty, since servers of the earlier version read it. SQLite's
index is made anew, as it is made at first: some runs at a time, before a search or when
there is time.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_OLDEST_SECURE_DELETE = (3, 42, 0)

_WORDS = """
    array_to_tsvector(ARRAY[NEW.user_id::text]) || to_tsvector('simple', translate(
    left(normalize(left(NEW.prompt, size), NFKC), size) || ' ' ||
    left(normalize(left(NEW.response, size), NFKC), size),
    '!"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~', repeat(' ', 32)))
"""
# OTHERS are all errors but a canceled statement: none may lose an answer.
_BY_POSTGRESQL = f"""
    WHILE size > 0 LOOP
        BEGIN
            NEW.search_words := {_WORDS};
            RETURN NEW;
        EXCEPTION WHEN OTHERS THEN
            size := size / 2;
        END;
    END LOOP;
    NEW.search_words := NULL;
    RETURN NEW;
"""
_NOTED = """
    IF NEW.search_words IS NOT NULL THEN RETURN NEW; END IF;
    BEGIN
        INSERT INTO search_renewal VALUES (NEW.id, NEW.id);
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
"""
_TRIGGER = (
    "CREATE OR REPLACE FUNCTION index_words() RETURNS trigger LANGUAGE plpgsql AS $$ "
    "DECLARE size integer := 100000; BEGIN {0} END $$"
)
_ON_POSTGRESQL = (
    # Nothing is finished between the end of the range and the new trigger.
    "LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE",
    """
    CREATE FUNCTION words_to_index(words text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE STRICT AS $$
    BEGIN RETURN words::tsvector; EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$
    """,
    (
        "CREATE TABLE search_renewal (done varchar(32) NOT NULL, "
        "until varchar(32) NOT NULL)"
    ),
    (
        "INSERT INTO search_renewal "
        "SELECT '', max(id) FROM runs HAVING max(id) IS NOT NULL"
    ),
    _TRIGGER.replace("{0}", _NOTED + _BY_POSTGRESQL),
    "DELETE FROM search_reindexing",
)
_BACK = (
    _TRIGGER.replace("{0}", _BY_POSTGRESQL),
    "DROP FUNCTION words_to_index(text)",
    "DROP TABLE search_renewal",
    (
        "INSERT INTO search_reindexing "
        "SELECT '', max(id) FROM runs HAVING max(id) IS NOT NULL"
    ),
)


def upgrade() -> None:
    """Apply this step."""
    _change(_ON_POSTGRESQL)


def downgrade() -> None:
    """Take this step back."""
    _change(_BACK)


def _change(statements: tuple[str, ...]) -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for statement in statements:
            connection.exec_driver_sql(statement)
        return
    # The words in it have to be those that are made again when it is to forget them.
    op.execute("DROP TABLE search_words")
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE search_words USING fts5(prompt, response, content='', "
        "tokenize='ascii')"
    )
    version = getattr(connection.dialect.loaded_dbapi, "sqlite_version_info", ())
    if version >= _OLDEST_SECURE_DELETE:
        # What is deleted is to be gone from the file, not only from sight.
        connection.exec_driver_sql(
            "INSERT INTO search_words (search_words, rank) VALUES ('secure-delete', 1)"
        )
