"""
Streaming a run as server-sent events.

`run` (its id), any number of `delta` (text to append; the event's id is the position to
resume from), sometimes `reset` (the whole text so far, which replaces what was
received), then `done` (the whole run) or `error` (a problem). Comments keep the
connection open.

If the model says more than text, `item` begins reasoning, a tool call, a refusal or
another text; what follows is its text: `delta` of texts and refusals, and `item_delta`
of reasoning and of a call's arguments.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from http import HTTPStatus

from fastapi import Request, Response

from llamakeep.api.http import sse
from llamakeep.api.http.headers import first_header, single_header
from llamakeep.api.http.links import prefix_of
from llamakeep.api.http.streaming import EVENT_STREAM, Streaming
from llamakeep.domain import Item, Run
from llamakeep.domain.messages import written
from llamakeep.engine import (
    Delta,
    Ended,
    Engine,
    ItemDelta,
    NextItem,
    Position,
    Reset,
    Update,
)
from llamakeep.engine.refusals import check_is_kept, raise_for_status
from llamakeep.errors import InvalidRequest, LlamaKeepError
from llamakeep.history.records import model_name, shown
from llamakeep.schemas.json_text import (
    PIECE,
    cut,
    filled,
    in_pieces,
    to_json,
)
from llamakeep.schemas.problem import problem_json, problem_of
from llamakeep.storage.runs.long_texts import STORED, outline_of

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def stream_response(
    engine: Engine,
    run: Run,
    position: Position | None = None,
    *,
    end: Callable[[], None] | None = None,
) -> Response:
    """
    Respond with the events of `run` after `position`; call `end` after the last.

    Raises:
        TextNotKept: The run has succeeded, and its text was not to be stored.
    """
    check_is_kept(run)
    if run.status.is_final:
        run = outline_of(run)
    updates = engine.follow(run, position)
    return Streaming(events(updates, run), end=end, headers=HEADERS)


async def events(
    updates: AsyncGenerator[Update, None], run: Run
) -> AsyncIterator[bytes]:
    """Yield the encoded events of `run`."""
    begun = {
        "id": run.id,
        "model": model_name(run),
        "conversation_id": run.conversation_id,
    }
    yield sse.encode(to_json(begun), "run")
    try:
        async with aclosing(updates):
            async for update in updates:
                if isinstance(update, Ended) and update.text is not None:
                    raise_for_status(update.run)
                    pieces = _done(update.run)
                    async for piece in filled(pieces, update.text.pieces):
                        yield piece
                    continue
                frame = rendered(update)
                if len(frame) <= PIECE:
                    yield frame
                    continue
                for piece in cut(frame):
                    yield piece
    except LlamaKeepError as error:
        error.run_id = run.id
        yield sse.encode(problem_json(problem_of(error)), "error")


def position_of(request: Request, starting_after: str | None) -> Position:
    """
    Return the position to resume from: the query parameter, else `Last-Event-ID`.

    Raises:
        InvalidRequest: It is malformed.
    """
    field, given = "query.starting_after", starting_after
    if given is None:
        field, given = "header.last-event-id", single_header(request, "last-event-id")
    if not given:
        return Position()
    position = Position.parse(given)
    if position is None:
        raise InvalidRequest.of(
            field,
            "Send the id of the last event you have, or the number of "
            "characters of the response you have.",
        )
    return position


def accepts_only_events(request: Request) -> bool:
    """Return whether the header `Accept` names nothing but server-sent events."""
    return (first_header(request, b"accept") or "").strip() == EVENT_STREAM


def accepted_response(request: Request, run: Run) -> Response:
    """Respond with 202 and the path of the run."""
    return Response(
        to_json(shown(run)),
        HTTPStatus.ACCEPTED,
        {"Location": f"{prefix_of(request)}/history/{run.id}"},
        media_type="application/json",
    )


def rendered(update: Update, run_id: str | None = None) -> bytes:
    """Return the event of an update; with `run_id`, for a stream of several runs."""
    facts: Mapping[str, str]
    match update:
        case Delta(text, position):
            name, facts = "delta", {"text": text}
        case ItemDelta(text, position):
            name, facts = "item_delta", {"text": text}
        case NextItem(item, position):
            name, facts = "item", _head(item)
        case Reset(text, position):
            name, facts = "reset", {"text": text}
        case Ended(run):
            return _end(run)
        case _:
            return sse.KEEP_ALIVE
    if run_id is None:
        return sse.encode(to_json(facts), name, str(position))
    whose = {"run": run_id, "position": str(position)}
    return sse.encode(to_json(whose | facts), name)


def _end(run: Run) -> bytes:
    try:
        raise_for_status(run)
    except LlamaKeepError as error:
        return sse.encode(problem_json(problem_of(error)), "error")
    return sse.encode(to_json(shown(run)), "done")


def _head(item: Item) -> dict[str, str]:
    """Return what is known of an item when it begins."""
    facts = written(item)
    del facts["text"]
    return facts


def _done(run: Run) -> Iterator[bytes]:
    yield sse.opening("done")
    yield from in_pieces(shown(replace(run, response=STORED)))
    yield sse.END
