"""Frequent queries for single runs."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, case, func, literal_column, select

from llamakeep.domain import Run, RunStatus, User
from llamakeep.errors import IdempotencyKeyReused, RunNotFound
from llamakeep.storage.database.conditions import IS_UNFINISHED
from llamakeep.storage.database.port import Database
from llamakeep.storage.database.prepared import Fetch, Prepared
from llamakeep.storage.database.tables import runs
from llamakeep.storage.runs.long_texts import PIECE
from llamakeep.storage.runs.rows import READ, to_run

# The text of a finished run is read in pieces: see `long_texts.py`.
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
    runs.c.output.is_not(None),
).where(runs.c.id == bindparam("run_id"), runs.c.user_id == bindparam("user_id"))
_REPEATED = Prepared(
    select(runs.c.id, runs.c.request_digest).where(
        runs.c.user_id == bindparam("user_id"),
        runs.c.idempotency_key == bindparam("key"),
    )
)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A request's idempotency key, and the digest of its body."""

    key: str
    request_digest: bytes
    older_digest: Callable[[], bytes] | None = None
    """Computes the digest that an older version stored for the same request."""

    def fits(self, digest: bytes) -> bool:
        """Return whether `digest` is of the same request."""
        return digest == self.request_digest or (
            self.older_digest is not None and digest == self.older_digest()
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """The stored progress of a run."""

    status: RunStatus
    attempt: int
    common_length: int | None
    length: int
    """Characters of the response; 0 once the run has ended."""
    text: str
    """A piece of the response; empty once the run has ended."""
    has_items: bool
    """Whether the answer is not text alone, so that positions count more than that."""


class LookupStorage:
    """Reads single runs."""

    _database: Database

    async def progress(self, run: Run, *, after: int) -> Progress:
        """
        Return a run's status, and a piece of its text after `after` characters.

        Raises:
            RunNotFound: It was deleted.
        """
        values = {"run_id": run.id, "user_id": run.user_id, "first": after + 1}
        row = await self._database.read(
            lambda connection: connection.execute(_PROGRESS, values).one_or_none()
        )
        if row is None:
            raise RunNotFound(f"There is no run {run.id!r} in your history.")
        return Progress(*row)

    async def find_repeated(self, user: User, wanted: IdempotencyKey) -> Run | None:
        """
        Return the run with the same idempotency key, if there is one.

        Raises:
            IdempotencyKeyReused: That run answers another request.
        """
        values = {"user_id": user.id, "key": wanted.key}
        rows = await self._database.look_up(Fetch(_REPEATED, values))
        if not rows:
            return None
        [(run_id, digest)] = rows
        _check(wanted, run_id, digest)
        # Not on the event loop, since its text may be long.
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
    Return the run that was stored for the same request before, if there is one.

    An earlier commit of the run had an unknown outcome if it `may_be_stored`.

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
    _check(wanted, row.id, row.request_digest)
    return to_run(row)


def _check(wanted: IdempotencyKey, run_id: str, digest: bytes) -> None:
    if not wanted.fits(digest):
        raise IdempotencyKeyReused(
            f"The Idempotency-Key {wanted.key!r} was used for another request, which "
            f"is kept as {run_id}. Nothing was stored. Send the same body, or another "
            "key."
        )
