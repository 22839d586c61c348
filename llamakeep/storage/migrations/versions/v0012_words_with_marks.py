"""
Let marks belong to their words, in whatever form of Unicode they came.

SQLite's index is made anew, as it is made at first: some runs at a time, before a
search or when there is time. What a word is, `storage/words.py` says; to it, only
spaces and signs of ASCII stand between words. On PostgreSQL, a trigger takes the place
of an expression, which can only be changed by writing the whole table anew: runs
that ended before stay indexed as they were written until they are indexed anew.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

_OLDEST_SECURE_DELETE = (3, 42, 0)

_IS_FINISHED = "status IN ('canceled', 'expired', 'failed', 'interrupted', 'succeeded')"
_WORDS = (
    "array_to_tsvector(ARRAY[{0}user_id::text]) || "
    "to_tsvector('simple', translate({1}, "
    """'!"#$%&''()*+,-./:;<=>?@[\\]^_`{{|}}~', repeat(' ', 32)))"""
)
_TEXTS = "left({0}prompt, 100000) || ' ' || left({0}response, 100000)"
_NEW_WORDS = _WORDS.format("NEW.", f"normalize({_TEXTS.format('NEW.')}, NFKC)")
_OLD_WORDS = _WORDS.format("", _TEXTS.format(""))
_TRIGGER = (
    "ALTER TABLE runs ALTER COLUMN search_words DROP EXPRESSION",
    (
        "CREATE FUNCTION index_words() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN NEW.search_words := {_NEW_WORDS}; RETURN NEW; END $$"
    ),
    (
        "CREATE TRIGGER search_words BEFORE INSERT OR UPDATE OF status ON runs "
        f"FOR EACH ROW WHEN (NEW.{_IS_FINISHED}) EXECUTE FUNCTION index_words()"
    ),
)
_EXPRESSION = (
    "DROP TRIGGER search_words ON runs",
    "DROP FUNCTION index_words()",
    "ALTER TABLE runs DROP COLUMN search_words",
    (
        "ALTER TABLE runs ADD COLUMN search_words tsvector GENERATED ALWAYS AS "
        f"(CASE WHEN {_IS_FINISHED} THEN {_OLD_WORDS} END) STORED"
    ),
    "CREATE INDEX search_by_words ON runs USING gin (search_words)",
)


def upgrade() -> None:
    """Apply this step."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in _TRIGGER:
            op.get_bind().exec_driver_sql(statement)
        return
    _make_anew("ascii")


def downgrade() -> None:
    """Take this step back."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in _EXPRESSION:
            op.get_bind().exec_driver_sql(statement)
        return
    _make_anew("unicode61 remove_diacritics 0")


def _make_anew(tokenizer: str) -> None:
    connection = op.get_bind()
    op.execute("DROP TABLE search_words")
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE search_words USING fts5(prompt, response, content='', "
        f"tokenize='{tokenizer}')"
    )
    version = getattr(connection.dialect.loaded_dbapi, "sqlite_version_info", ())
    if version >= _OLDEST_SECURE_DELETE:
        # What is deleted is to be gone from the file, not only from sight.
        connection.exec_driver_sql(
            "INSERT INTO search_words (search_words, rank) VALUES ('secure-delete', 1)"
        )
