"""
Instants at which a server process can be told to strike itself: to die, or to freeze.

The product knows nothing of them: `arm` wraps one of its methods, in the process of one
forked server, before anything is put together there.
"""

import asyncio
import inspect
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from llamakeep.engine.live import LiveRun
from llamakeep.engine.recovery.reattaching import Reattachment
from llamakeep.http.connection import Connection
from llamakeep.providers.replicate.api import ReplicateApi
from llamakeep.providers.replicate.provider import ReplicateProvider
from llamakeep.providers.responses.api import ResponsesApi
from llamakeep.providers.responses.provider import BackgroundProvider
from llamakeep.storage.runs.finishing import FinishStorage
from llamakeep.storage.runs.leases import LeaseStorage
from llamakeep.storage.runs.steps import RunStorage

SOON = 0.01
"""Seconds within which a strike during a request comes."""
MARK = "struck at "
"""How the line in the server's log begins that says when, by `time.time`."""


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """An instant in the life of a run."""

    owner: type
    method: str
    when: Literal["before", "during", "after"]
    passes: int = 3
    """The strike comes at one of so many passes, at random."""
    is_after_kill: bool = False
    """Whether it is in a server that goes on with what a killed one left."""
    loses_creates: bool = False
    """Whether it is only reached when the answer to a create was lost."""
    cancels: bool = False
    """Whether it is only reached when clients cancel."""
    crowd: int = 1
    """How often three prompts are asked at once; some points need a queue."""
    only: bytes = b""
    """Only a pass whose first argument contains this counts; not of a coroutine."""


POINTS = {
    "before accept": CrashPoint(RunStorage, "accept", "before"),
    "after accept": CrashPoint(RunStorage, "accept", "after"),
    "before claim": CrashPoint(RunStorage, "claim", "before", crowd=3),
    "after claim": CrashPoint(RunStorage, "claim", "after", crowd=3),
    "before create": CrashPoint(ReplicateApi, "create", "before"),
    # Behind the last look at the clock: nothing is between it and the network.
    "before sending": CrashPoint(
        Connection, "ask", "before", only=b"/predictions HTTP/1.1"
    ),
    "during create": CrashPoint(ReplicateApi, "create", "during"),
    "after create": CrashPoint(ReplicateApi, "create", "after", passes=2),
    "before attach": CrashPoint(RunStorage, "attach", "before"),
    "after attach": CrashPoint(RunStorage, "attach", "after"),
    "at a delta": CrashPoint(LiveRun, "receive", "before", passes=20),
    "before flush": CrashPoint(RunStorage, "flush", "before", passes=2),
    "after flush": CrashPoint(RunStorage, "flush", "after", passes=2),
    "during get": CrashPoint(ReplicateApi, "get", "during"),
    "before finish": CrashPoint(FinishStorage, "finish", "before"),
    "after finish": CrashPoint(FinishStorage, "finish", "after"),
    "before find": CrashPoint(
        ReplicateProvider, "find", "before", passes=1, loses_creates=True
    ),
    "after find": CrashPoint(
        ReplicateProvider, "find", "after", passes=1, loses_creates=True
    ),
    "after take over": CrashPoint(
        LeaseStorage, "take_over", "after", passes=1, is_after_kill=True
    ),
    "during resume": CrashPoint(
        ReplicateApi, "get", "during", passes=2, is_after_kill=True
    ),
    "before cancel": CrashPoint(
        RunStorage, "request_cancel", "before", passes=2, cancels=True
    ),
    "after cancel": CrashPoint(
        RunStorage, "request_cancel", "after", passes=2, cancels=True
    ),
    "during cancel": CrashPoint(
        ReplicateApi, "cancel", "during", passes=2, cancels=True
    ),
}


_REPLICATES = {
    name: point
    for name, point in POINTS.items()
    if point.owner in {ReplicateApi, ReplicateProvider} or name == "before sending"
}
KEPT_POINTS = {
    f"kept, {name}": point
    for name, point in {
        **{name: each for name, each in POINTS.items() if name not in _REPLICATES},
        "before create": CrashPoint(BackgroundProvider, "_create", "before"),
        "before sending": CrashPoint(
            Connection, "ask", "before", only=b"POST /v1/responses HTTP/1.1"
        ),
        "during create": CrashPoint(BackgroundProvider, "_create", "during"),
        "after create": CrashPoint(BackgroundProvider, "_create", "after", passes=2),
        "during get": CrashPoint(ResponsesApi, "get", "during", passes=1),
        # Nothing is looked for: a lost create is sent again, if it has a key.
        "before find": CrashPoint(
            Reattachment,
            "_find",
            "before",
            passes=1,
            is_after_kill=True,
            loses_creates=True,
        ),
        "after find": CrashPoint(
            Reattachment,
            "_find",
            "after",
            passes=1,
            is_after_kill=True,
            loses_creates=True,
        ),
        "during resume": CrashPoint(
            ResponsesApi, "get", "during", passes=2, is_after_kill=True
        ),
        "during cancel": CrashPoint(
            ResponsesApi, "cancel", "during", passes=2, cancels=True
        ),
    }.items()
}
"""The same where the upstream keeps the answer."""
ALL_POINTS = POINTS | KEPT_POINTS


def arm(name: str, *, passes: int, how: int) -> None:
    """Make this process strike itself with the signal `how` at that pass of a point."""
    point = ALL_POINTS[name]
    original: Callable[..., Any] = getattr(point.owner, point.method)
    left = iter(range(passes - 1, -1, -1))

    def strike() -> None:
        if next(left, None) == 0:
            print(f"{MARK}{time.time()}", file=sys.stderr, flush=True)  # noqa: T201 - the log
            os.kill(os.getpid(), how)

    @wraps(original)
    async def struck(*args: Any, **named: Any) -> Any:
        if point.when == "before":
            strike()
        elif point.when == "during":
            soon = random.uniform(0, SOON)
            asyncio.get_running_loop().call_later(soon, strike)
        result = await original(*args, **named)
        if point.when == "after":
            strike()
        return result

    @wraps(original)
    def struck_at_once(*args: Any, **named: Any) -> Any:
        if not point.only or point.only in args[1]:
            strike()
        return original(*args, **named)

    is_async = inspect.iscoroutinefunction(original)
    setattr(point.owner, point.method, struck if is_async else struck_at_once)
