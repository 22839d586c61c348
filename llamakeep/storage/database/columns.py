"""Column types and expressions that work alike on SQLite and PostgreSQL."""

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
    Column,
    Connection,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    MetaData,
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

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_N_name)s_fk",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A datetime with its time zone; on SQLite, microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use `timestamptz` on PostgreSQL."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Convert to the database's value; refuse datetimes without a time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone cannot be stored")
        if dialect.name == "postgresql":
            return value
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Convert to a datetime in UTC."""
        if value is None:
            return None
        if dialect.name == "postgresql":
            return cast("datetime", value).astimezone(UTC)
        return _EPOCH + cast("int", value) * _MICROSECOND


class Dollars(TypeDecorator[Decimal]):
    """US dollars, stored as whole billionths: a price is a fraction of a cent."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(
        self,
        value: Decimal | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> int | None:
        """Convert to billionths."""
        return None if value is None else int(value.scaleb(9).to_integral_value())

    def process_result_value(
        self,
        value: Any,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> Decimal | None:
        """Convert to dollars."""
        return None if value is None else Decimal(value).scaleb(-9)


def colliding_insert(
    connection: Connection, table: Table
) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT that supports ON CONFLICT."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    # Imported only here: it takes 2 MB and a thirtieth of a start's time.
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert(table)


class Facts(TypeDecorator[Any]):
    """A frozen dataclass or set, as JSON; of a dataclass, the fields that are set."""

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
        """Convert to JSON; decimal numbers as text, which loses no digits."""
        if value is None:
            return None
        return _adapter(self.kind).dump_python(value, mode="json", exclude_none=True)

    def process_result_value(
        self,
        value: Any,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> Any:
        """Convert to the dataclass or set."""
        return None if value is None else _adapter(self.kind).validate_python(value)


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def words_of(enum: type[StrEnum]) -> Enum:
    """Return a column type that stores `enum` by its values."""
    return Enum(
        enum,
        native_enum=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


class seconds_from_now(FunctionElement[datetime]):  # noqa: N801 - reads as SQL
    """The database clock's time plus some seconds; nodes' clocks may differ."""

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


def owner() -> Column[str]:
    """Return the column of the user who owns a row; it is deleted with the user."""
    user = ForeignKey("users.id", ondelete="CASCADE")
    return Column("user_id", user, nullable=False, index=True)
