"""
Compare statuses one by one, in indexes and triggers of SQLite.

It makes a table of what follows `IN` for each row that is written. PostgreSQL does not.
"""

from collections.abc import Callable, Sequence

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

# While two indexes are made, each of which reads all runs, on a busy machine with two
# cores: see `scripts/time_migrations.py`.
SECONDS_OF_A_MILLION_RUNS = {"sqlite": 6.3}

_UNFINISHED = ("processing", "queued", "starting")
_FAILED = ("canceled", "expired", "failed", "interrupted")
_FINISHED = (*_FAILED, "succeeded")
_INDEXES = {
    "runs_that_failed": ("user_id, status, id", _FAILED),
    "runs_unfinished": ("owner", _UNFINISHED),
}
_NUMBER_ONE = "INSERT INTO search_runs (run_id) VALUES (new.id)"


def upgrade() -> None:
    """Apply this step."""
    _write_anew(_compared)


def downgrade() -> None:
    """Take this step back."""
    _write_anew(_listed)


def _compared(status: str, among: Sequence[str]) -> str:
    return "(" + " OR ".join(f"{status} = '{one}'" for one in among) + ")"


def _listed(status: str, among: Sequence[str]) -> str:
    return f"{status} IN ({', '.join(map(repr, among))})"


def _write_anew(is_one_of: Callable[[str, Sequence[str]], str]) -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    is_finished = is_one_of("new.status", _FINISHED)
    was_finished = is_one_of("old.status", _FINISHED)
    triggers = {
        "search_finished": (
            "UPDATE OF status",
            f"{is_finished} AND NOT {was_finished}",
        ),
        "search_imported": ("INSERT", is_finished),
    }
    for name, (columns, among) in _INDEXES.items():
        connection.exec_driver_sql(f"DROP INDEX {name}")
        connection.exec_driver_sql(
            f"CREATE INDEX {name} ON runs ({columns}) "
            f"WHERE {is_one_of('status', among)}"
        )
    for name, (verb, condition) in triggers.items():
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql(
            f"CREATE TRIGGER {name} AFTER {verb} ON runs WHEN {condition} "
            f"BEGIN {_NUMBER_ONE}; END"
        )
