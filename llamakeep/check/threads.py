"""Calls that may block for ever, such as those of a file system that is frozen."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """
    Call a function in a thread of its own.

    When the caller gives up, or the process ends, the thread is left alone: a thread of
    a pool would be waited for.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def finish(value: T | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # it is one without an error

    def run() -> None:
        value = error = None
        try:
            value = call()
        except Exception as caught:  # noqa: BLE001 - raised where it is waited for
            error = caught
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, value, error)

    Thread(target=run, daemon=True).start()
    return await result
