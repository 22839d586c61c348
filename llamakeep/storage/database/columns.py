"""Column types and expressions that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter
from sqlalchemy import (
    JSON,
    TIMESTAMP,
    BigInteger,
    Connection,
    Dialect,
    Enum,
    Float,
    Table,
    bindparam,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

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
) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT that can say what becomes of rows that are there already."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    # 2 MB, and a thirtieth of a start's time, that SQLite does not need.
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert(table)


class Facts(TypeDecorator[Any]):
    """
    A frozen dataclass, kept as a JSON object of what is set in it.

    Args:
        kind: The dataclass; Pydantic can validate it.
    """

    impl = JSON(none_as_null=True)
    cache_ok = True

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(
        self,
        value: Any,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> Any:
        """Write an object; decimal numbers as text, which loses nothing."""
        if value is None:
            return None
        return _adapter(self.kind).dump_python(value, mode="json", exclude_none=True)

    def process_result_value(
        self,
        value: Any,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> Any:
        """Read what it was made of."""
        return None if value is None else _adapter(self.kind).validate_python(value)


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


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
