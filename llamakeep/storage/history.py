"""What users read back: their runs, newest first, and their conversations."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, or_, select

from llamakeep.domain import Run, RunStatus, User
from llamakeep.errors import ConversationNotFound, RunNotFound
from llamakeep.storage.database import Database
from llamakeep.storage.run_rows import READ, to_run
from llamakeep.storage.tables import runs

LONGEST_CONVERSATION = 500
"""How many runs back a conversation's context reaches."""


class HistoryStorage:
    """One method is one transaction."""

    _database: Database

    async def history(
        self,
        user: User,
        *,
        before: str | None = None,
        after: str | None = None,
        oldest_first: bool = False,
        containing: str | None = None,
        conversation_id: str | None = None,
        limit: int = 50,
    ) -> Sequence[Run]:
        """
        Return what `user` asked, newest first unless said otherwise.

        Args:
            user: Whose history. There is no way to ask for everybody's.
            before: Only runs older than this id, be it that of a run or not.
            after: Only runs newer than this id.
            oldest_first: Whether the limit keeps the oldest, in their order.
            containing: Only runs with this text in their prompt or response.
            conversation_id: Only runs of this conversation.
            limit: At most this many runs.
        """
        query = (
            select(*READ)
            .where(runs.c.user_id == user.id)
            .order_by(runs.c.id if oldest_first else runs.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(runs.c.id < before)
        if after is not None:
            query = query.where(runs.c.id > after)
        if conversation_id is not None:
            query = query.where(runs.c.conversation_id == conversation_id)
        if containing is not None:
            query = query.where(
                or_(
                    runs.c.prompt.icontains(containing, autoescape=True),
                    runs.c.response.icontains(containing, autoescape=True),
                )
            )
        return await self._database.read(
            lambda connection: [to_run(row) for row in connection.execute(query)]
        )

    async def conversation(
        self, user_id: str, conversation_id: str, *, before: str | None = None
    ) -> Sequence[Run]:
        """
        Return the answered runs of a conversation, oldest first.

        Args:
            user_id: Whose it must be.
            conversation_id: The conversation.
            before: Only runs older than the one with this id.

        Raises:
            ConversationNotFound: The user has no such conversation.
        """
        belongs = (
            runs.c.conversation_id == conversation_id,
            runs.c.user_id == user_id,
        )
        exists = select(runs.c.id).where(*belongs).limit(1)
        query = (
            select(*READ)
            .where(*belongs, runs.c.status == RunStatus.SUCCEEDED)
            .order_by(runs.c.id.desc())
            .limit(LONGEST_CONVERSATION)
        )
        if before is not None:
            query = query.where(runs.c.id < before)

        def operation(connection: Connection) -> Sequence[Run]:
            if before is None and connection.scalar(exists) is None:
                raise ConversationNotFound(
                    f"There is no conversation {conversation_id!r} in your history. "
                    "Nothing was stored. Leave `conversation_id` out to begin one."
                )
            return [to_run(row) for row in connection.execute(query)][::-1]

        return await self._database.read(operation)

    async def delete_run(self, user: User, run_id: str) -> None:
        """
        Forget a run for good.

        Raises:
            RunNotFound: `user` has no such run.
        """
        query = delete(runs).where(runs.c.id == run_id, runs.c.user_id == user.id)

        def operation(connection: Connection) -> None:
            if connection.execute(query).rowcount == 0:
                raise RunNotFound(f"There is no run {run_id!r} in your history.")

        await self._database.write(operation)
