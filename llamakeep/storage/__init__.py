"""
The database layer: all SQL is in this package.

Every public method of `Storage` is one transaction: when it returns, what it wrote is
durable. Each may raise `StorageUnavailable`, after which nothing of it was written. The
`…Storage` classes in the subpackages are the parts that `Storage` is made of.

A function that takes a `Connection` works in the caller's transaction.
"""

from llamakeep.storage.database.sqlite_engine import sqlite_is_current
from llamakeep.storage.storage import (
    Storage,
    location,
    migrate_database,
    open_storage,
    plan_migration,
)

__all__ = [
    "Storage",
    "location",
    "migrate_database",
    "open_storage",
    "plan_migration",
    "sqlite_is_current",
]
