"""A storage whose methods fail, or take their time, as a test wants it."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any

from llamakeep.errors import OutcomeUnknown, StorageUnavailable
from llamakeep.storage import Storage
from llamakeep.storage.database.port import Database, Operation

FULL = "The disk is full."

METHODS = sorted(
    name
    for name, method in inspect.getmembers(Storage, inspect.iscoroutinefunction)
    if not name.startswith("_") and name != "close"
)
"""All that can fail: a new method of `Storage` is among them by itself."""


_breaks_off = ContextVar("breaks_off", default=False)


class _Breaking:
    """A database whose commits succeed without anybody being told."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, operation: Operation[Any]) -> Any:
        result = await self._database.write(operation)
        if _breaks_off.get():
            raise OutcomeUnknown(retry_after=5)
        return result


class FaultyStorage(Storage):
    """
    A storage on the same database as another one.

    Args:
        storage: The other one.
        fails: How many calls of a method fail, by its name.
        delays: How many seconds a method takes longer, by its name.
        is_done: Whether what fails to be written is written all the same: its commit
            broke off, and nobody was told how it ended.
    """

    def __init__(
        self,
        storage: Storage,
        fails: Mapping[str, int] | None = None,
        delays: Mapping[str, float] | None = None,
        *,
        is_done: bool = False,
    ) -> None:
        super().__init__(_Breaking(storage._database))
        self.fails = Counter(fails or {})
        self.delays = dict(delays or {})
        self.is_done = is_done
        self.calls: Counter[str] = Counter()

    async def _call(
        self, name: str, method: Callable[..., Any], *args: Any, **named: Any
    ) -> Any:
        self.calls[name] += 1
        await asyncio.sleep(self.delays.get(name, 0))
        if self.fails[name] <= 0:
            return await method(self, *args, **named)
        self.fails[name] -= 1
        if not self.is_done:
            raise StorageUnavailable.of_write(FULL, retry_after=5)
        token = _breaks_off.set(True)
        try:
            return await method(self, *args, **named)
        finally:
            _breaks_off.reset(token)


def _faulty(name: str) -> Callable[..., Any]:
    method = getattr(Storage, name)

    @wraps(method)
    async def call(self: FaultyStorage, *args: Any, **named: Any) -> Any:
        return await self._call(name, method, *args, **named)

    return call


for _name in METHODS:
    setattr(FaultyStorage, _name, _faulty(_name))
