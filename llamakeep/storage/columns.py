"""Column types and expressions that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Connection,
    Dialect,
    Enum,
    Float,
    Table,
    bindparam,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class UtcDateTime(TypeDecorator[datetime]):
    """
    A moment, always with its zone.

    SQLite has no type for it and keeps whole microseconds since 1970.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return PostgreSQL's own type there."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse moments without a zone, and write the others."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone cannot be stored")
        if dialect.name == "postgresql":
            return value
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read a moment in UTC."""
        if value is None:
            return None
        if dialect.name == "postgresql":
            return cast("datetime", value).astimezone(UTC)
        return _EPOCH + cast("int", value) * _MICROSECOND


class Dollars(TypeDecorator[Decimal]):
    """US dollars, kept as whole billionths: a price is a fraction of a cent."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(
        self,
        value: Decimal | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> int | None:
        """Write billionths."""
        return None if value is None else int(value.scaleb(9).to_integral_value())

    def process_result_value(
        self,
        value: Any,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> Decimal | None:
        """Read dollars."""
        return None if value is None else Decimal(value).scaleb(-9)


def colliding_insert(
    connection: Connection, table: Table
) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that can say what becomes of rows that are there already."""
    is_sqlite = connection.dialect.name == "sqlite"
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


def words_of(enum: type[StrEnum]) -> Enum:
    """Return a column type that stores `enum` by its values, as the API says them."""
    return Enum(
        enum,
        native_enum=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


class seconds_from_now(FunctionElement[datetime]):  # noqa: N801 - reads as SQL
    """
    The database's own clock, some seconds on; a node's clock may be wrong.

    Args:
        parameter: The name of the bound parameter that says how many seconds.
    """

    inherit_cache = True
    type = UtcDateTime()

    def __init__(self, parameter: str) -> None:
        super().__init__(bindparam(parameter, type_=Float()))


@compiles(seconds_from_now, "sqlite")
def _on_sqlite(element: seconds_from_now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"CAST((unixepoch('now', 'subsec') + {seconds}) * 1000000 AS INTEGER)"


@compiles(seconds_from_now, "postgresql")
def _on_postgresql(
    element: seconds_from_now, compiler: SQLCompiler, **options: Any
) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"
