"""
Streaming a run as server-sent events in Replicate's format.

`output` (text to append; the event's id is the position to resume from), then `error`
if there was one, then `done` (`{}`, or the reason). Comments keep the connection open.
Every event has an id, since Replicate's Python library drops those without.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

from fastapi import Request, Response

from llamakeep.api.http import sse
from llamakeep.api.http.headers import single_header
from llamakeep.api.http.streaming import Streaming
from llamakeep.api.prompts.events import HEADERS
from llamakeep.domain import Run, RunStatus, User
from llamakeep.engine import Delta, Ended, Engine, Position, Reset, Update
from llamakeep.engine.refusals import check_is_kept
from llamakeep.errors import LlamaKeepError
from llamakeep.schemas.json_text import to_json
from llamakeep.services import services_of

HELLO = b": hi\n\n"
KEEP_ALIVE = b": still here\n\n"

# Replicate's Python library splits lines at characters that the standard does not count
# as line ends, and loses the rest of the event: so events end after such characters. It
# takes an event that looks like a URL for a file, so none begins like one.
_SAFE = re.compile(
    "[hd](?=ttps:|ata:)"
    "|[^\x0b\x0c\x1c-\x1e\x85\u2028\u2029]*[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"
    "|[^\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+"
)


async def stream_response(request: Request, user: User, run_id: str) -> Response:
    """
    Respond with the events of a run after the one in `Last-Event-ID`.

    Raises:
        InvalidRequest: The client names several events.
        RunNotFound: `user` has no such run.
        TextNotKept: It has succeeded, and its text was not to be stored.
        TooManyReaders: The user has too many open.
    """
    last = single_header(request, "last-event-id") or ""
    # As at Replicate, a stream begins at the start if the event is unknown.
    position = Position.parse(last) or Position()
    services = services_of(request)
    with services.readers.beginning(user.id) as end:
        run = await services.storage.outline(user, run_id)
        check_is_kept(run)
        frames = events(services.engine, run, position)
        return Streaming(frames, end=end, headers=HEADERS)


async def events(engine: Engine, run: Run, position: Position) -> AsyncIterator[bytes]:
    """Yield the encoded events of `run` after `position`."""
    yield HELLO
    try:
        async with aclosing(engine.follow(run, position)) as updates:
            async for update in updates:
                yield b"".join(_rendered(update, position))
                if isinstance(update, Delta):
                    position = update.position
                elif isinstance(update, Reset):
                    return
    except LlamaKeepError as error:
        # No `done`, since the run's end is not known.
        yield _error(error.detail, position)


def _rendered(update: Update, position: Position) -> Iterator[bytes]:
    match update:
        case Delta(text, after):
            start = after.offset - len(text)
            for match in _SAFE.finditer(text):
                at = Position(start + match.end(), after.attempt)
                yield sse.encode(match[0].encode(), "output", str(at))
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
    return sse.encode(to_json({"detail": detail}), "error", str(position))


def _done(reason: str | None, position: Position) -> bytes:
    facts = {"reason": reason} if reason else {}
    return sse.encode(to_json(facts), "done", str(position))
