"""Examination of a database: is everything in it that should be, and readable."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.exc import DatabaseError

from llamakeep.storage.accounts.tables import users
from llamakeep.storage.backup.portions import next_keys
from llamakeep.storage.database import schema
from llamakeep.storage.database.conditions import IS_UNFINISHED
from llamakeep.storage.database.tables import images, run_images, runs
from llamakeep.storage.runs.rows import READ, to_run

MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Findings:
    """What a database was found to have."""

    revision: str | None
    """Of its tables, if it could be read."""
    counts: Mapping[str, int] = field(default_factory=dict)
    faults: Sequence[str] = ()
    note: str | None = None
    """What was not looked at, and why."""


def examine(connection: Connection) -> Findings:
    """Read all of a database: its structure, its texts, and its images."""
    faults = [*_structure(connection)]
    if faults:
        return Findings(None, faults=faults)
    revision = schema.revision(connection)
    if revision is None:
        return Findings(revision, faults=["It has no tables of llamakeep's."])
    if revision > schema.HEAD:
        fault = (
            f"Its tables are of revision {revision}; this version of llamakeep knows "
            f"those up to {schema.HEAD}. Install the version that wrote it."
        )
        return Findings(revision, faults=[fault])
    if revision != schema.HEAD:
        note = "Its tables are another version's: texts and images were not read."
        return Findings(revision, note=note)
    if (source := schema.copied_from(connection)) is not None:
        faults.append(f"Only a part of {source} was copied to it.")
    for found in (_images(connection), _texts(connection)):
        for fault in found:
            if len(faults) == MOST_FAULTS:
                faults.append("There is more of that kind.")
                break
            faults.append(fault)
    return Findings(revision, _counts(connection), faults)


def _counts(connection: Connection) -> Mapping[str, int]:
    counted = {
        "users": select(func.count()).select_from(users),
        "runs": select(func.count()).select_from(runs),
        "of them under way": select(func.count())
        .select_from(runs)
        .where(IS_UNFINISHED),
        "images": select(func.count()).select_from(images),
    }
    return {name: connection.scalar(query) or 0 for name, query in counted.items()}


def _structure(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "sqlite":
        return
    try:
        for (said,) in connection.exec_driver_sql(
            f"PRAGMA integrity_check({MOST_FAULTS})"
        ):
            if said != "ok":
                yield f"SQLite finds: {said}."
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check")
        for table, _, parent, _ in broken.fetchmany(MOST_FAULTS):
            yield f"A row of {table} names one of {parent} that is not there."
    except DatabaseError as error:
        yield f"SQLite says: {error.orig}."


def _images(connection: Connection) -> Iterator[str]:
    keys = select(images.c.user_id, images.c.sha256, images.c.size)
    place = (images.c.user_id, images.c.sha256)
    for portion in _portions(connection, keys, place):
        for user_id, digest in portion:
            data = connection.scalar(
                select(images.c.data).where(
                    images.c.user_id == user_id, images.c.sha256 == digest
                )
            )
            if data is None or sha256(data).hexdigest() != digest:
                yield f"The image {digest} of {user_id} has other bytes than it had."
    unshown = (
        select(images.c.sha256)
        .join(run_images, isouter=True)
        .where(run_images.c.run_id.is_(None))
        .limit(MOST_FAULTS)
    )
    for digest in connection.scalars(unshown):
        yield f"No run shows the image {digest}."


def _texts(connection: Connection) -> Iterator[str]:
    length = func.length(runs.c.prompt) + func.length(runs.c.response)
    lengths = select(runs.c.id, length)
    for portion in _portions(connection, lengths, (runs.c.id,)):
        ids = [run_id for (run_id,) in portion]
        if _can_be_read(connection, ids):
            continue
        for run_id in ids:
            if not _can_be_read(connection, [run_id]):
                yield f"The run {run_id} cannot be read."


def _can_be_read(connection: Connection, ids: Sequence[str]) -> bool:
    try:
        for row in connection.execute(select(*READ).where(runs.c.id.in_(ids))):
            to_run(row)
    except (DatabaseError, LookupError, TypeError, ValueError):
        return False
    return True


def _portions(
    connection: Connection, keys: Select[Any], place: Sequence[Any]
) -> Iterator[Sequence[tuple[Any, ...]]]:
    after: tuple[Any, ...] | None = None
    while portion := next_keys(connection, keys, place, after):
        yield portion
        after = portion[-1]
