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
class Compiled:
    """A statement's text, and what converts its parameters and results."""

    sql: str
    names: Sequence[str]
    """The parameters in their order."""
    pick: Callable[[Mapping[str, Any]], Sequence[Any]]
    """Returns their values in that order."""
    binders: Sequence[tuple[int, Binder]]
    """Converters by position; most parameters need none."""
    results: Sequence[Binder | None]

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the parameters, converted for the driver."""
        bound = list(self.pick(values))
        for index, convert in self.binders:
            value = bound[index]
            if value is not None:  # which all types store as NULL
                bound[index] = convert(value)
        return bound

    def read(self, row: Sequence[Any]) -> Sequence[Any]:
        """Return what a driver's row says; more columns than are known are left out."""
        return [
            value if convert is None else convert(value)
            for value, convert in zip(row, self.results, strict=False)
        ]


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
        self.on_postgresql = statement if on_postgresql is None else on_postgresql
        self.parameters = None if parameters is None else list(parameters)
        self._compiled: Compiled | None = None

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Execute it, and return the number of changed rows."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self.on_postgresql, values).rowcount
        return int(self._run(connection, values).rowcount)

    def fetch(
        self, connection: Connection, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """Execute it, and return its rows."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self.on_postgresql, values).all()
        rows = self._run(connection, values)
        read = self._for(connection.dialect).read
        return [read(row) for row in rows]

    def _run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Execute it with the driver."""
        compiled = self._compiled or self._for(connection.dialect)
        return execute_directly(connection, compiled.sql, compiled.bind(values))

    def _for(self, dialect: Dialect) -> Compiled:
        if self._compiled is None:
            self._compiled = compiled(self._statement, self.parameters, dialect)
        return self._compiled


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """
    A statement that PostgreSQL executes once for many callers.

    Its parameters are lists, and its rows begin with the keys of the callers
    whose step it has done.
    """

    statement: Executable
    columns: Mapping[str, TypeEngine[Any]]
    """The parameters of which a caller has one value each; the first is the key."""
    lists: Mapping[str, Sequence[str]]
    """Parameters of which a caller has lists, by the parameter with the keys of all."""

    def compile(self, dialect: Dialect) -> "CompiledTogether":
        """Compile it."""
        names = [*self.columns, *(n for each in self.lists.values() for n in each)]
        binders = [
            type_.dialect_impl(dialect).bind_processor(dialect)
            for type_ in self.columns.values()
        ]
        found = compiled(self.statement, None, dialect)
        return CompiledTogether(
            found.sql,
            found.names,
            itemgetter(*names),
            [(at, binder) for at, binder in enumerate(binders) if binder is not None],
            {name: at for at, name in enumerate(names)},
            self.lists,
        )


@dataclass(frozen=True, slots=True)
class CompiledTogether:
    """A `Together`'s text, and what makes its parameters of its callers' values."""

    sql: str
    names: Sequence[str]
    pick: Callable[[Mapping[str, Any]], Sequence[Any]]
    binders: Sequence[tuple[int, Binder]]
    places: Mapping[str, int]
    lists: Mapping[str, Sequence[str]]

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        """Return a caller's values, converted for the driver; the first is the key."""
        bound = list(self.pick(values))
        for at, convert in self.binders:
            bound[at] = convert(bound[at])
        return bound

    def join(self, callers: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the parameters for all callers."""
        by_place = list(zip(*callers, strict=True))
        found: dict[str, Sequence[Any]] = {
            name: by_place[at] for name, at in self.places.items()
        }
        for keys, names in self.lists.items():
            found[keys] = [
                key
                for key, one in zip(by_place[0], found[names[0]], strict=True)
                for _ in one
            ]
            for name in names:
                found[name] = [each for one in found[name] for each in one]
        return [found[name] for name in self.names]


@dataclass(frozen=True, slots=True)
class Fetch:
    """An operation that reads the rows of one statement."""

    statement: Prepared
    values: Mapping[str, Any]

    def __call__(self, connection: Connection) -> Sequence[Sequence[Any]]:
        """Read them in the caller's transaction."""
        return self.statement.fetch(connection, self.values)


@dataclass(frozen=True, slots=True)
class Change:
    """
    An operation that one statement can do as well, most of the time.

    A database may send the statement together with those of other callers, and run the
    operation only if the statement returns no row: then it has changed nothing.
    """

    operation: Callable[[Connection], Any]
    statement: Prepared | Together
    values: Mapping[str, Any]
    result: Any
    """The operation's result if the statement has changed something."""

    def __call__(self, connection: Connection) -> Any:
        """Run the operation in the caller's transaction."""
        return self.operation(connection)


def execute_directly(
    connection: Connection, sql: str, parameters: Sequence[Any] = ()
) -> Any:
    """
    Execute a statement with SQLite's driver.

    Raises:
        DBAPIError: As if SQLAlchemy had executed it.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    errors = connection.dialect.loaded_dbapi.Error
    try:
        return driver.execute(sql, parameters)
    except errors as error:
        raise DBAPIError.instance(
            sql, None, error, errors, hide_parameters=True
        ) from error


def compiled(
    statement: Executable, parameters: Sequence[str] | None, dialect: Dialect
) -> Compiled:
    """Compile a statement; `parameters` are the columns of an INSERT."""
    assert isinstance(statement, ClauseElement)
    sql = statement.compile(dialect=dialect, column_keys=parameters)
    assert isinstance(sql, SQLCompiler)
    assert sql.positiontup is not None
    names = sql.positiontup
    binders = enumerate(_binder(sql, name, dialect) for name in names)
    columns = getattr(statement, "selected_columns", ())
    return Compiled(
        str(sql),
        names,
        itemgetter(*names) if len(names) > 1 else lambda one: [one[names[0]]],
        [(index, binder) for index, binder in binders if binder is not None],
        [_reader(column.type, dialect) for column in columns],
    )


def _binder(sql: SQLCompiler, name: str, dialect: Dialect) -> Binder | None:
    return sql.binds[name].type.dialect_impl(dialect).bind_processor(dialect)


def _reader(type_: TypeEngine[Any], dialect: Dialect) -> Binder | None:
    return type_.dialect_impl(dialect).result_processor(dialect, None)
