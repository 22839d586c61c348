"""What is remembered: the only place where SQL is spoken."""

from llamakeep.storage.database.sqlite import sqlite_is_current
from llamakeep.storage.storage import (
    Storage,
    location,
    migrate_database,
    open_storage,
)

__all__ = [
    "Storage",
    "location",
    "migrate_database",
    "open_storage",
    "sqlite_is_current",
]
