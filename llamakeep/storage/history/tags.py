"""Tags: the pairs of runs' metadata, indexed."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from llamakeep.domain import Run, User
from llamakeep.errors import RunNotFound
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import run_tags, runs
from llamakeep.storage.runs.rows import READ, to_run

LONGEST = 64 + 1 + 512
"""Characters of a tag: key, colon and value."""


class TagStorage:
    """Stores tags."""

    _database: Database

    async def set_metadata(
        self, user: User, run_id: str, metadata: Mapping[str, str]
    ) -> Run:
        """
        Replace a run's metadata and tags.

        Raises:
            RunNotFound: `user` has no such run.
        """
        query = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.user_id == user.id)
            .values(metadata=metadata)
            .returning(*READ)
        )

        def operation(connection: Connection) -> Run:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise RunNotFound(f"There is no run {run_id!r} in your history.")
            run = to_run(row)
            connection.execute(delete(run_tags).where(run_tags.c.run_id == run_id))
            add_tags(connection, [run])
            return run

        return await self._database.write(operation)


def add_tags(connection: Connection, tagged: list[Run]) -> None:
    """Insert the tags of runs."""
    rows = [
        {"user_id": run.user_id, "tag": tag, "run_id": run.id}
        for run in tagged
        for tag in tags_of(run.metadata)
    ]
    if rows:
        connection.execute(insert(run_tags), rows)


def has_tag(user: User, tag: str) -> ColumnElement[bool]:
    """Return the condition that a run has a tag, `key` or `key:value`."""
    return runs.c.id.in_(
        select(run_tags.c.run_id).where(
            run_tags.c.user_id == user.id, run_tags.c.tag == tag
        )
    )


def tags_of(metadata: Mapping[str, str]) -> set[str]:
    """Return the tags of a run's metadata."""
    return {
        tag[:LONGEST]
        for key, value in metadata.items()
        for tag in (key, f"{key}:{value}")
    }
