"""Deleting runs and conversations at a user's request."""

from contextlib import suppress

from llamakeep.deletion.batches import delete_in_batches
from llamakeep.domain import User, new_id
from llamakeep.engine.engine import Engine
from llamakeep.errors import RunNotFound
from llamakeep.storage import Storage
from llamakeep.storage.history.filters import RunFilter


async def delete_runs(
    engine: Engine, storage: Storage, user: User, matching: RunFilter
) -> int:
    """
    Delete the runs that match and existed at the start; return their number.

    If it fails midway, another call deletes the rest.
    """
    before = new_id("run_")
    deleted = 0
    for run_id in await storage.find_unfinished(user, matching, before=before):
        with suppress(RunNotFound):
            await engine.delete(user, run_id)
            deleted += 1
    pace = await storage.pace(await storage.count_runs(user, matching, before=before))
    async for count in delete_in_batches(
        storage, user, pace, matching=matching, before=before
    ):
        deleted += count
    if deleted:
        engine.feeds.lose(user.id)
    if pace.keeps_words:
        await storage.erase_traces()
    return deleted


async def delete_conversation(
    engine: Engine, storage: Storage, user: User, conversation_id: str
) -> None:
    """
    Delete the runs of a conversation that existed at the start.

    Raises:
        ConversationNotFound: `user` has no such conversation.
    """
    await storage.get_conversation(user, conversation_id)
    matching = RunFilter(conversation_id=conversation_id)
    await delete_runs(engine, storage, user, matching)
