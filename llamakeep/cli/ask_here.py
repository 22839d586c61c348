"""Asking without a server: the engine in this process, on the settings' database."""

import asyncio
from contextlib import aclosing

from llamakeep.cli.environment import get_or_add_user
from llamakeep.cli.screen import Screen
from llamakeep.domain import Asked, Run, User
from llamakeep.engine import Delta, Ended, Keeper, Reset
from llamakeep.engine.keeper import raise_for_status
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import open_storage


async def ask_here(
    settings: Settings,
    asked: Asked,
    username: str,
    screen: Screen,
    registry: Registry,
) -> str:
    """
    Have a prompt answered, and keep both in the history of `username`.

    When this is canceled, so is the run; its text so far is kept.

    Args:
        settings: Which database, among other things.
        asked: The prompt.
        username: Created, without a password, if there is no such user.
        screen: Where the answer is written.
        registry: Who may answer; closed at the end.

    Returns:
        The conversation that the exchange belongs to.

    Raises:
        DatabaseInUse: A server owns the database.
        LlamaKeepError: The run did not succeed; the error names it.
    """
    async with open_storage(settings.database_url) as storage:
        user = await get_or_add_user(storage, username)
        keeper = Keeper(settings, storage, registry)
        try:
            # What a server left unfinished is for the next server.
            await keeper.open(take_over=False)
            run = await _answered(keeper, user, asked, screen)
        finally:
            await keeper.close()
            await registry.close()
    raise_for_status(run)
    assert run.conversation_id is not None
    return run.conversation_id


async def _answered(keeper: Keeper, user: User, asked: Asked, screen: Screen) -> Run:
    accepting = asyncio.create_task(keeper.ask(user, asked))
    try:
        run = await asyncio.shield(accepting)
        async with aclosing(keeper.follow(run)) as updates:
            async for update in updates:
                match update:
                    case Delta(text):
                        screen.add(text)
                    case Reset(text):
                        screen.replace(text)
                    case Ended(run):
                        return run
    except asyncio.CancelledError:
        await keeper.cancel(user, (await accepting).id)
        raise
    raise AssertionError("a followed run ends")
