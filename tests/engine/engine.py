"""An engine to ask, and readers to follow what it answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field

from llamakeep.domain import NewRun, Run, User
from llamakeep.engine import Delta, Ended, Engine, Position, Reset
from llamakeep.providers.base import Provider
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.waiting import LONG_ENOUGH

WHY = NewRun(prompt="Why?")


def open_engine(
    settings: Settings, storage: Storage, *providers: Provider, take_over: bool = True
) -> AbstractAsyncContextManager[Engine]:
    return open_with(settings, storage, Registry(providers), take_over=take_over)


@asynccontextmanager
async def open_with(
    settings: Settings, storage: Storage, registry: Registry, *, take_over: bool = True
) -> AsyncIterator[Engine]:
    engine = Engine(settings, storage, registry)
    await engine.open(take_over=take_over)
    try:
        yield engine
    finally:
        await engine.close()


@dataclass
class Reader:
    """Somebody who follows a run, leaves, and comes back where they stopped."""

    text: str = ""
    position: Position | None = None
    resets: int = 0
    end: Run | None = None
    has_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, engine: Engine, run: Run, *, enough: int = 10**9) -> Run:
        """Follow `run` to its end, or until there are `enough` characters."""
        async with aclosing(engine.follow(run, self.position)) as updates:
            async for update in updates:
                if isinstance(update, Reset):
                    self.text = ""
                    self.resets += 1
                if isinstance(update, Delta | Reset):
                    self.text += update.text
                    self.position = Position.parse(str(update.position))
                    self.has_read.set()
                if isinstance(update, Ended):
                    self.end = update.run
                    return update.run
                if len(self.text) >= enough:
                    return run
        raise AssertionError("a followed run ends")


async def until_stored(storage: Storage, user: User, run: Run, text: str) -> Run:
    """Return the run as it is stored once its text is `text`."""
    async with asyncio.timeout(LONG_ENOUGH):
        while True:
            stored = await storage.get_run(user, run.id)
            if stored.response == text:
                return stored
            await asyncio.sleep(0.001)
