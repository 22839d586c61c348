"""
Let no text keep PostgreSQL from storing its run.

A text grows when it is normalised, and an index entry has at most 1 MB. What cannot be
indexed whole is indexed by its beginning: the trigger stands in the statement that
stores a paid answer, and an error in it would lose the answer.
"""

from alembic import op

revision = "0014"
down_revision = "0013"

_WORDS = (
    "array_to_tsvector(ARRAY[NEW.user_id::text]) || "
    "to_tsvector('simple', translate({0}, "
    """'!"#$%&''()*+,-./:;<=>?@[\\]^_`{{|}}~', repeat(' ', 32)))"""
)
_FIRST = "left(NEW.prompt, 100000) || ' ' || left(NEW.response, 100000)"
_WHOLE = _WORDS.format(f"normalize({_FIRST}, NFKC)")
_BEGINNING = _WORDS.format(
    "left(normalize(left(NEW.prompt, size), NFKC), size) || ' ' || "
    "left(normalize(left(NEW.response, size), NFKC), size)"
)
_FUNCTION = (
    "CREATE OR REPLACE FUNCTION index_words() RETURNS trigger LANGUAGE plpgsql AS $$ "
    "{0} $$"
)
# OTHERS are all errors but a canceled statement.
_NEVER_FAILS = f"""
    DECLARE size integer := 100000;
    BEGIN
        WHILE size > 0 LOOP
            BEGIN
                NEW.search_words := {_BEGINNING};
                RETURN NEW;
            EXCEPTION WHEN OTHERS THEN
                size := size / 2;
            END;
        END LOOP;
        NEW.search_words := NULL;
        RETURN NEW;
    END
"""


def upgrade() -> None:
    """Apply this step."""
    _replace(_NEVER_FAILS)


def downgrade() -> None:
    """Take this step back."""
    _replace(f"BEGIN NEW.search_words := {_WHOLE}; RETURN NEW; END")


def _replace(body: str) -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_FUNCTION.format(body))
