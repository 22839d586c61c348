"""SQL that is compiled once for all databases of a test run."""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite


class Statements(dict[Any, Any]):
    """
    Compiled statements, shared by all engines of one dialect.

    An engine keeps its own, by its own dialect: of what a test with a database of its
    own takes, compiling was a third.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_shared(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(_shared(key), compiled)


def _shared(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return (key[0].name, *key[1:])


def share_statements() -> None:
    """Let all engines for SQLite that are created from now on share theirs."""
    statements = Statements()

    def engine_created(engine: Engine) -> None:
        engine.update_execution_options(compiled_cache=statements)

    SQLiteDialect_pysqlite.engine_created = staticmethod(engine_created)  # type: ignore[method-assign]
