"""
Write `llamakeep/storage/tables.sql`, or with `--check` only say whether it is stale.

It is what the migrations make of an empty SQLite file, and what a new one is made from.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from sqlalchemy import Connection

sys.path.insert(0, str(Path(__file__).parents[1]))

from llamakeep.storage.database import schema
from llamakeep.storage.database.sqlite import SqliteDatabase

PAGE = Path(__file__).parents[1] / "llamakeep" / "storage" / "database" / "tables.sql"

# SQLite makes the tables of a full-text index, and those of its own, by itself.
MADE = """
SELECT sql FROM sqlite_master
WHERE sql IS NOT NULL AND name NOT GLOB 'search_words_*' AND name NOT GLOB 'sqlite_*'
ORDER BY rowid
"""

# How the index is set up; the version is its own.
SET = "SELECT k, v FROM search_words_config WHERE k != 'version'"


def main() -> int:
    """Return 1 when it is stale and was only to be checked."""
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == tables():
        return 0
    print("tables.sql is stale: python scripts/write_tables.py writes it.")
    if sys.argv[1:] == ["--check"]:
        return 1
    PAGE.write_text(tables(), encoding="utf-8")
    return 0


def tables() -> str:
    """Return the statements that make a new file."""
    with tempfile.TemporaryDirectory() as folder:
        made = asyncio.run(_make(Path(folder) / "new.db"))
    return ";\n\n".join(made) + "\n"


async def _make(path: Path) -> list[str]:
    database = SqliteDatabase(path)
    try:
        return await database.write(_statements)
    finally:
        await database.close()


def _statements(connection: Connection) -> list[str]:
    schema.migrate(connection, schema.HEAD)
    return [
        *(str(sql) for (sql,) in connection.exec_driver_sql(MADE)),
        *(
            f"INSERT INTO search_words (search_words, rank) VALUES ('{key}', {value})"
            for key, value in connection.exec_driver_sql(SET)
        ),
        f"INSERT INTO alembic_version VALUES ('{schema.HEAD}')",
    ]


if __name__ == "__main__":
    sys.exit(main())
