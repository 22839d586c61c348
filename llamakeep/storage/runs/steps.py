"""Writes of a run's life: accept, claim, attach, flush, finish, cancel."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import Connection, bindparam, exists, insert, select
from sqlalchemy.exc import IntegrityError

from llamakeep.domain import (
    Run,
    RunEvent,
    RunStatus,
    User,
    new_id,
    utc_now,
)
from llamakeep.domain.embeddings import ALONE
from llamakeep.domain.quotas import Quota
from llamakeep.errors import (
    ImageNotFound,
    LimitReached,
    OutcomeUnknown,
    RunNotFound,
    Unauthenticated,
)
from llamakeep.storage.accounts.users import is_there
from llamakeep.storage.database.port import Database, Operation, T
from llamakeep.storage.database.prepared import Change, Prepared
from llamakeep.storage.database.tables import runs
from llamakeep.storage.history.indexing import (
    INSERT_INDEXED,
    words_to_index,
)
from llamakeep.storage.history.tags import add_tags
from llamakeep.storage.runs import outcomes
from llamakeep.storage.runs.images import add_images, missing_image
from llamakeep.storage.runs.lookups import IdempotencyKey, find_known
from llamakeep.storage.runs.notifications import add_notifications
from llamakeep.storage.runs.parts import stored
from llamakeep.storage.runs.quotas import reserve
from llamakeep.storage.runs.rows import NAMES, READ, to_row, to_run
from llamakeep.storage.runs.transitions import MINE, transition

_ACCEPT = Prepared(
    insert(runs),
    {*NAMES, "owner", "idempotency_key", "request_digest"}
    - {"cancel_requested", "handle"},
    on_postgresql=INSERT_INDEXED,
)
_other = runs.alias("other")
_ATTACH = transition(RunEvent.ATTACH, *MINE).values(handle=bindparam("new_handle"))
_ATTACH_FREE = Prepared(
    _ATTACH.where(
        ~exists().where(
            _other.c.provider == runs.c.provider,
            _other.c.handle == bindparam("new_handle"),
            _other.c.id != runs.c.id,
        )
    )
)
"""It changes nothing if another run has the handle."""
_HAS_HANDLE = select(runs.c.id).where(
    runs.c.provider == bindparam("provider"),
    runs.c.handle == bindparam("handle"),
    runs.c.id != bindparam("run_id"),
)
_CLAIM = Prepared(transition(RunEvent.CLAIM, *MINE))
_REQUEUE = transition(RunEvent.REQUEUE, *MINE, runs.c.handle.is_(None))
_FALL_BACK = transition(RunEvent.FALL_BACK, *MINE, runs.c.handle.is_(None)).values(
    provider=bindparam("new_provider"),
    model=bindparam("new_model"),
    parameters=bindparam("new_parameters"),
    started_at=bindparam("new_start"),
)
_FLUSH = transition(RunEvent.FLUSH, *MINE).values(
    response=bindparam("text"),
    output=bindparam("items"),
    common_length=bindparam("common"),
    first_word_after=bindparam("first_word"),
)
_CANCEL = transition(
    RunEvent.REQUEST_CANCEL,
    runs.c.id == bindparam("run_id"),
    runs.c.user_id == bindparam("of_user"),
)
_ONE = select(*READ).where(
    runs.c.id == bindparam("run_id"), runs.c.user_id == bindparam("user_id")
)


class Attached(Enum):
    """The outcome of storing a handle."""

    KEPT = "it is the run's"
    TAKEN = "it is another run's; the answer may be both's"
    LOST = "the run is not this attempt's any more, and nothing was written"


class RunStorage:
    """Stores runs."""

    _database: Database

    async def accept(
        self,
        run: Run,
        *,
        node: str | None,
        idempotency_key: IdempotencyKey | None = None,
        quotas: Sequence[Quota] = (),
        may_be_stored: bool = False,
    ) -> Run:
        """
        Store a new run, held by `node`.

        Args:
            run: The run, with its reservation of `quotas`.
            node: The node that works on it.
            idempotency_key: Identifies a repeated request.
            quotas: The limits to check.
            may_be_stored: Whether an earlier commit of it had an unknown outcome.

        Returns:
            `run`, or the run that was stored with the same key before.

        Raises:
            IdempotencyKeyReused: That run answers another request.
            ImageNotFound: An image of an earlier run was deleted meanwhile.
            LimitReached: A quota has less left than the run may use.
            Unauthenticated: The user was deleted meanwhile.
        """
        values = to_row(run) | {
            "owner": node,
            "idempotency_key": idempotency_key and idempotency_key.key,
            "request_digest": idempotency_key and idempotency_key.request_digest,
        }
        is_alone = self._database.is_sole_owner
        if not is_alone:
            values["words"] = await words_to_index(run)

        def operation(connection: Connection) -> Run | LimitReached | ImageNotFound:
            known = find_known(connection, run, idempotency_key, may_be_stored)
            if known is not None:
                return known
            if quotas and (refusal := reserve(connection, run, quotas)) is not None:
                # An earlier try may have been committed while this one waited for a
                # quota. Returned, not raised: an exception would roll back the other
                # operations of the writer's transaction.
                known = find_known(connection, run, idempotency_key, may_be_stored)
                return known or refusal
            if run.images and (missing := missing_image(connection, run)):
                return missing
            _ACCEPT.execute(connection, values)
            if run.notifications or run.metadata or run.images:
                _add_more(connection, run)
            return run

        try:
            try:
                accepted = await self._database.write(
                    operation
                    if is_alone
                    else _pipelined(operation, run, values, quotas)
                )
            except OutcomeUnknown as unknown:
                again = outcomes.unless(
                    outcomes.IS_KEPT, {"run_id": run.id}, run, operation
                )
                accepted = await outcomes.find_out(self._database, again, unknown)
        except IntegrityError:
            await self._check_user(run.user_id)
            raise
        if isinstance(accepted, LimitReached | ImageNotFound):
            raise accepted
        return accepted

    async def _check_user(self, user_id: str) -> None:
        if not await is_there(self._database, user_id):
            message = "This account was deleted. Nothing was stored."
            raise Unauthenticated(message) from None

    async def claim(self, run: Run) -> bool:
        """Start the next attempt at a queued run; `False` if another process did."""
        values = {
            "run_id": run.id,
            "fence": run.attempt,
            "now": utc_now(),
        }

        def operation(connection: Connection) -> bool:
            return _CLAIM.execute(connection, values) == 1

        try:
            return await self._database.write(Change(operation, _CLAIM, values, True))
        except OutcomeUnknown as unknown:
            again = outcomes.unless(outcomes.IS_CLAIMED, values, True, operation)
            return await outcomes.find_out(self._database, again, unknown)

    async def attach(self, run: Run, handle: str) -> Attached:
        """Store the handle with which the provider finds the answer again."""

        def operation(connection: Connection) -> Attached:
            wanted = {"provider": run.provider, "handle": handle, "run_id": run.id}
            is_taken = connection.scalar(_HAS_HANDLE, wanted) is not None
            new_handle = None if is_taken else handle
            values = {"run_id": run.id, "fence": run.attempt, "new_handle": new_handle}
            if connection.execute(_ATTACH, values).rowcount != 1:
                return Attached.LOST
            return Attached.TAKEN if is_taken else Attached.KEPT

        values = {"run_id": run.id, "fence": run.attempt, "new_handle": handle}
        writing = Change(operation, _ATTACH_FREE, values, Attached.KEPT)
        try:
            return await self._database.write(writing)
        except OutcomeUnknown as unknown:
            return await outcomes.find_out(self._database, operation, unknown)

    async def known_handles(self, provider: str, handles: Collection[str]) -> set[str]:
        """Return which of `handles` are stored with a run."""
        query = select(runs.c.handle).where(
            runs.c.provider == provider, runs.c.handle.in_(handles)
        )
        return await self._database.read(
            lambda connection: set(connection.scalars(query))
        )

    async def flush(self, texts: Sequence[Run]) -> None:
        """Store the texts so far of unfinished runs."""
        values = [
            {
                "run_id": run.id,
                "fence": run.attempt,
                "text": run.response,
                "items": stored(run.output) or None,
                "common": run.common_length,
                "first_word": run.first_word_after,
            }
            for run in texts
        ]
        await self._database.write(
            lambda connection: connection.execute(_FLUSH, values).close()
        )

    async def requeue(self, run: Run) -> bool:
        """
        Let a run wait again whose provider has certainly not begun anything.

        Returns:
            `False` if it is not this attempt's any more; nothing was written.
        """
        values = {"run_id": run.id, "fence": run.attempt}
        return await self._database.write(
            lambda connection: connection.execute(_REQUEUE, values).rowcount == 1
        )

    async def fall_back(self, run: Run) -> bool:
        """
        Have another provider asked, as `run` says; nothing was paid yet.

        Returns:
            `False` if it is not this attempt's any more; nothing was written.
        """
        values = {
            "run_id": run.id,
            "fence": run.attempt,
            "new_provider": run.provider,
            "new_model": run.model,
            "new_parameters": run.parameters.given(),
            "new_start": run.started_at,
        }
        return await self._database.write(
            lambda connection: connection.execute(_FALL_BACK, values).rowcount == 1
        )

    async def request_cancel(self, user: User, run_id: str) -> Run:
        """
        Ask the process that holds a run to stop; a finished one stays as it is.

        Raises:
            RunNotFound: `user` has no such run.
        """
        values = {"run_id": run_id, "of_user": user.id}

        def operation(connection: Connection) -> Run:
            connection.execute(_CANCEL, values)
            return _get(connection, user, run_id)

        return await self._database.write(operation)

    async def get_run(self, user: User, run_id: str) -> Run:
        """
        Return one of the user's runs.

        Raises:
            RunNotFound: `user` has no such run.
        """
        return await self._database.read(
            lambda connection: _get(connection, user, run_id)
        )

    async def add(
        self,
        user: User,
        prompt: str,
        response: str,
        *,
        created_at: datetime | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Run:
        """
        Store a prompt and response from elsewhere as a finished run.

        Args:
            user: The owner.
            prompt: The prompt.
            response: The answer.
            created_at: Determines the run's place in the history.
            idempotency_key: Makes adding the same pair again change nothing.
        """
        run_id = new_id("run_", at=created_at)
        created_at = created_at or utc_now()
        run = Run(
            id=run_id,
            user_id=user.id,
            status=RunStatus.SUCCEEDED,
            attempt=1,
            provider="imported",
            model="unknown",
            source="import",
            prompt=prompt,
            response=response,
            conversation_id=conversation_of(run_id),
            created_at=created_at,
            finished_at=created_at,
        )
        return await self.accept(run, node=None, idempotency_key=idempotency_key)


def conversation_of(run_id: str, *, is_embedding: bool = False) -> str:
    """Return the id of the conversation that a run begins."""
    prefix = ALONE if is_embedding else "conv_"
    return prefix + run_id.removeprefix("run_")


def _pipelined(
    operation: Operation[T],
    run: Run,
    values: Mapping[str, Any],
    quotas: Sequence[Quota],
) -> Operation[T | Run]:
    from llamakeep.storage.runs.pipelined import accepting  # noqa: PLC0415

    return accepting(operation, run, values, quotas)


def _add_more(connection: Connection, run: Run) -> None:
    """Store what tables beside that of runs have of a new run."""
    if run.notifications:
        add_notifications(connection, run)
    if run.metadata:
        add_tags(connection, [run])
    if run.images:
        add_images(connection, [run])


def _get(connection: Connection, user: User, run_id: str) -> Run:
    row = connection.execute(_ONE, {"run_id": run_id, "user_id": user.id}).one_or_none()
    if row is None:
        raise RunNotFound(f"There is no run {run_id!r} in your history.")
    return to_run(row)
