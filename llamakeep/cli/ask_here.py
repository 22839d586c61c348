"""`llamakeep ask` without a server: the engine in this process, on its database."""

import asyncio
from contextlib import aclosing

from llamakeep.cli.environment import get_or_add_user
from llamakeep.cli.screen import Screen
from llamakeep.domain import NewRun, Run, User
from llamakeep.engine import Delta, Ended, Engine, ItemDelta, NextItem, Reset
from llamakeep.engine.refusals import raise_for_status
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import open_storage


async def ask_here(
    settings: Settings,
    asked: NewRun,
    username: str,
    screen: Screen,
    registry: Registry,
) -> str:
    """
    Run a prompt, and store it with its response in the history of `username`.

    Cancellation cancels the run; its text so far is kept. The user is created without a
    password if there is none of that name. The registry is closed at the end.

    Returns:
        The id of the run's conversation.

    Raises:
        DatabaseInUse: A server owns the database.
        LlamaKeepError: The run failed; the error has its id.
    """
    async with open_storage(settings.database_url) as storage:
        user = await get_or_add_user(storage, username)
        engine = Engine(settings, storage, registry)
        try:
            # The next server takes over unfinished runs of the last one.
            await engine.open(take_over=False)
            run = await _answered(engine, user, asked, screen)
        finally:
            await engine.close()
            await registry.close()
    raise_for_status(run)
    assert run.conversation_id is not None
    return run.conversation_id


async def _answered(engine: Engine, user: User, asked: NewRun, screen: Screen) -> Run:
    accepting = asyncio.create_task(engine.accept(user, asked))
    try:
        run = await asyncio.shield(accepting)
        async with aclosing(engine.follow(run)) as updates:
            async for update in updates:
                match update:
                    case Delta(text) | ItemDelta(text):
                        screen.add(text)
                    case NextItem(item):
                        screen.begin(item)
                    case Reset(text):
                        screen.replace(text)
                    case Ended(run):
                        return run
    except asyncio.CancelledError:
        await engine.cancel(user, (await accepting).id)
        raise
    raise AssertionError("a followed run ends")
