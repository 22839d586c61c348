"""The rows of a table in the order of its primary key, a bounded portion at a time."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, and_, tuple_

AT_ONCE, MOST_AT_ONCE = 200, 4_000_000
"""Rows of a portion, unless they are larger together, in characters or bytes."""


def next_keys(
    connection: Connection,
    sized_keys: Select[Any],
    primary_key: Sequence[Any],
    after: tuple[Any, ...] | None,
) -> list[tuple[Any, ...]]:
    """
    Return the next keys of a portion, empty behind the last one.

    Args:
        connection: Where to read them.
        sized_keys: Selects the primary key and, as the last column, a row's size.
        primary_key: The columns by which rows are ordered.
        after: The last key of the portion before.
    """
    query = sized_keys.order_by(*primary_key).limit(AT_ONCE)
    if after is not None:
        query = query.where(tuple_(*primary_key) > tuple_(*after))
    total = 0
    keys: list[tuple[Any, ...]] = []
    for *key, size in connection.execute(query).all():
        total += size or 0
        if keys and total > MOST_AT_ONCE:
            break
        keys.append(tuple(key))
    return keys


def has_key_of(
    keys: Sequence[tuple[Any, ...]], primary_key: Sequence[Column[Any]]
) -> ColumnElement[bool]:
    """Return the condition that a row has one of some primary keys."""
    is_one = tuple_(*primary_key).in_(keys)
    if len(primary_key) == 1:
        return is_one
    # Only columns that are compared one by one are looked up in PostgreSQL's index.
    each = [
        column.in_(sorted(set(values)))
        for column, values in zip(primary_key, zip(*keys, strict=True), strict=True)
    ]
    return and_(*each, is_one)
