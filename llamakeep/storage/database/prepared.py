"""Statements on the hot path, compiled once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

Binder = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    sql: str
    pick: Callable[[Mapping[str, Any]], Sequence[Any]]
    """Returns the parameters in their order."""
    binders: Sequence[tuple[int, Binder]]
    """Converters by position; most parameters need none."""
    results: Sequence[Binder | None]
    errors: type[Exception]


class Prepared:
    """
    A statement that always has the same parameters.

    On SQLite, SQLAlchemy's way from a statement to the driver costs as much as the
    statement (measured: 105 µs instead of 50 to insert a run). Types convert parameters
    and results as they always do. The statement has no values; `parameters` are the
    columns of an INSERT. PostgreSQL may be given another statement.
    """

    def __init__(
        self,
        statement: Executable,
        parameters: Iterable[str] | None = None,
        *,
        on_postgresql: Executable | None = None,
    ) -> None:
        self._statement = statement
        self._on_postgresql = statement if on_postgresql is None else on_postgresql
        self._parameters = None if parameters is None else list(parameters)
        self._compiled: _Compiled | None = None

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Execute it, and return the number of changed rows."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._on_postgresql, values).rowcount
        return int(self._run(connection, values).rowcount)

    def fetch(
        self, connection: Connection, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """Execute it, and return its rows."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._on_postgresql, values).all()
        rows = self._run(connection, values)
        results = self._for(connection.dialect).results
        return [
            [
                value if convert is None else convert(value)
                for value, convert in zip(row, results, strict=True)
            ]
            for row in rows
        ]

    def _run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Execute it with the driver."""
        compiled = self._compiled or self._for(connection.dialect)
        bound = list(compiled.pick(values))
        for index, convert in compiled.binders:
            bound[index] = convert(bound[index])
        driver = connection.connection.driver_connection
        assert driver is not None
        try:
            return driver.execute(compiled.sql, bound)
        except compiled.errors as error:
            raise DBAPIError.instance(
                compiled.sql, None, error, compiled.errors, hide_parameters=True
            ) from error

    def _for(self, dialect: Dialect) -> _Compiled:
        if self._compiled is None:
            assert isinstance(self._statement, ClauseElement)
            sql = self._statement.compile(dialect=dialect, column_keys=self._parameters)
            assert isinstance(sql, SQLCompiler)
            assert sql.positiontup is not None
            columns = getattr(self._statement, "selected_columns", ())
            names = sql.positiontup
            binders = enumerate(_binder(sql, name, dialect) for name in names)
            self._compiled = _Compiled(
                str(sql),
                itemgetter(*names) if len(names) > 1 else lambda one: [one[names[0]]],
                [(index, binder) for index, binder in binders if binder is not None],
                [_reader(column.type, dialect) for column in columns],
                dialect.loaded_dbapi.Error,
            )
        return self._compiled


def _binder(sql: SQLCompiler, name: str, dialect: Dialect) -> Binder | None:
    return sql.binds[name].type.dialect_impl(dialect).bind_processor(dialect)


def _reader(type_: TypeEngine[Any], dialect: Dialect) -> Binder | None:
    return type_.dialect_impl(dialect).result_processor(dialect, None)
