"""Short questions about single runs that are asked often."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, case, func, literal_column, select

from llamakeep.domain import Run, RunStatus, User
from llamakeep.errors import IdempotencyKeyReused, RunNotFound
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.tables import IS_UNFINISHED, runs
from llamakeep.storage.runs.long_texts import PIECE
from llamakeep.storage.runs.rows import READ, to_run

if TYPE_CHECKING:
    from llamakeep.storage.runs.steps import IdempotencyKey

# The text of a run that has ended is read in another way: see `long_texts.py`.
_PROGRESS = select(
    runs.c.status,
    runs.c.attempt,
    runs.c.common_length,
    case((IS_UNFINISHED, func.length(runs.c.response)), else_=0),
    case(
        (
            IS_UNFINISHED,
            func.substr(
                runs.c.response, bindparam("first"), literal_column(str(PIECE))
            ),
        ),
        else_="",
    ),
).where(runs.c.id == bindparam("run_id"), runs.c.user_id == bindparam("user_id"))
_REPEATED = select(runs.c.id, runs.c.request_digest).where(
    runs.c.user_id == bindparam("user_id"),
    runs.c.idempotency_key == bindparam("key"),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, as it is stored."""

    status: RunStatus
    attempt: int
    common_length: int | None
    length: int
    """How many characters its text has, unless it has ended."""
    text: str
    """Some of those that were asked for, unless it has ended."""


class LookupStorage:
    """One method is one transaction."""

    _database: Database

    async def progress(self, run: Run, *, after: int) -> Progress:
        """
        Return how far `run` is, and some of its text after so many characters.

        Raises:
            RunNotFound: It is gone.
        """
        values = {"run_id": run.id, "user_id": run.user_id, "first": after + 1}
        row = await self._database.read(
            lambda connection: connection.execute(_PROGRESS, values).one_or_none()
        )
        if row is None:
            raise RunNotFound(f"There is no run {run.id!r} in your history.")
        return Progress(*row)

    async def find_repeated(self, user: User, wanted: "IdempotencyKey") -> Run | None:
        """
        Return the run that was made with the same key, if there is one.

        Raises:
            IdempotencyKeyReused: It answers another request.
        """

        def operation(connection: Connection) -> str | None:
            values = {"user_id": user.id, "key": wanted.key}
            row = connection.execute(_REPEATED, values).one_or_none()
            if row is None:
                return None
            _check(wanted, row)
            return str(row.id)

        run_id = await self._database.look_up(operation)
        if run_id is None:
            return None
        # Its text may be long, and is not read on the event loop.
        row = await self._database.read(
            lambda connection: connection.execute(
                select(*READ).where(runs.c.id == run_id)
            ).one_or_none()
        )
        return None if row is None else to_run(row)


def find_known(
    connection: Connection,
    run: Run,
    wanted: "IdempotencyKey | None",
    may_be_stored: bool,
) -> Run | None:
    """
    Return what was stored for the same request before, if anything was.

    Raises:
        IdempotencyKeyReused: The key was used for another request.
    """
    if may_be_stored:
        query = select(runs.c.id).where(runs.c.id == run.id)
        if connection.scalar(query) is not None:
            return run
    if wanted is None:
        return None
    row = connection.execute(
        select(*READ, runs.c.request_digest).where(
            runs.c.user_id == run.user_id, runs.c.idempotency_key == wanted.key
        )
    ).one_or_none()
    if row is None:
        return None
    _check(wanted, row)
    return to_run(row)


def _check(wanted: "IdempotencyKey", row: Any) -> None:
    if not wanted.fits(row.request_digest):
        raise IdempotencyKeyReused(
            f"The Idempotency-Key {wanted.key!r} was used for another request, which "
            f"is kept as {row.id}. Nothing was stored. Send the same body, or another "
            "key."
        )
