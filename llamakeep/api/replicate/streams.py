"""
A run as the server-sent events that Replicate's clients read.

`output` (text to append; the id is the position to resume from), then `done` (`{}`, or
why there is no more), after an `error` where there was one. Comments keep the
connection open. Every event has an id: Replicate's library for Python drops the others.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

from fastapi import Request, Response

from llamakeep.api.dependencies import keeper_of, readers_of, storage_of
from llamakeep.api.http.headers import single_header
from llamakeep.api.http.json_text import to_json
from llamakeep.api.http.streaming import Streaming
from llamakeep.api.prompts.events import HEADERS
from llamakeep.domain import Run, RunStatus, User
from llamakeep.engine import Delta, Ended, Keeper, Position, Reset, Update
from llamakeep.errors import LlamaKeepError

HELLO = b": hi\n\n"
KEEP_ALIVE = b": still here\n\n"

_LINE_ENDS = re.compile("\r\n|\r|\n")
# What Python counts as the end of a line, and the standard does not: Replicate's
# library for Python would lose the rest of the event. An event that looks like an
# address it would take for a file.
_SAFE = re.compile(
    "[hd](?=ttps:|ata:)"
    "|[^\x0b\x0c\x1c-\x1e\x85\u2028\u2029]*[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"
    "|[^\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+"
)


async def stream_response(request: Request, user: User, run_id: str) -> Response:
    """
    Answer with the events of a run, from where the client left off.

    Raises:
        InvalidRequest: The client names several events.
        RunNotFound: `user` has no such run.
        TooManyReaders: The user has too many open.
    """
    last = single_header(request, "last-event-id") or ""
    # Replicate begins at the start for whoever names an event it does not know.
    position = Position.parse(last) or Position()
    with readers_of(request).beginning(user.id) as end:
        run = await storage_of(request).outline(user, run_id)
        told = events(keeper_of(request), run, position)
        return Streaming(told, end=end, headers=HEADERS)


async def events(keeper: Keeper, run: Run, position: Position) -> AsyncIterator[bytes]:
    """Yield the events of `run` after `position`, as they are sent."""
    yield HELLO
    try:
        async with aclosing(keeper.follow(run, position)) as updates:
            async for update in updates:
                yield b"".join(_rendered(update, position))
                if isinstance(update, Delta):
                    position = update.position
                elif isinstance(update, Reset):
                    return
    except LlamaKeepError as error:
        # No `done`: nobody can tell for now, and the run is kept.
        yield _error(error.detail, position)


def _rendered(update: Update, position: Position) -> Iterator[bytes]:
    match update:
        case Delta(text, after):
            start = after.offset - len(text)
            for match in _SAFE.finditer(text):
                at = Position(start + match.end(), after.attempt)
                yield _frame("output", match[0], at)
        case Reset(_, after):
            yield _error(
                "The answer was begun anew: what you have is not its beginning. Get "
                "the prediction, which has all of it.",
                after,
            )
            yield _done("error", after)
        case Ended(run):
            if run.status is RunStatus.SUCCEEDED:
                yield _done(None, position)
            elif run.status is RunStatus.CANCELED:
                yield _done("canceled", position)
            else:
                yield _error(run.error_detail or "", position)
                yield _done("error", position)
        case _:
            yield KEEP_ALIVE


def _error(detail: str, position: Position) -> bytes:
    return _frame("error", to_json({"detail": detail}).decode(), position)


def _done(reason: str | None, position: Position) -> bytes:
    return _frame(
        "done", to_json({"reason": reason} if reason else {}).decode(), position
    )


def _frame(event: str, data: str, position: Position) -> bytes:
    """Return one event; every line of `data` gets a line of its own."""
    lines = "".join(f"data: {line}\n" for line in _LINE_ENDS.split(data))
    return f"event: {event}\nid: {position}\n{lines}\n".encode()
