"""
Streaming a run as the typed events of a response, with sequence numbers.

Numbers are computed from the text's length, so they are the same at every node and at
every reading, and none are stored. With a text (or tape) of L characters:

    0  response.created               L + 4  response.output_text.done
    1  response.in_progress           L + 5  response.content_part.done
    2  response.output_item.added     L + 6  response.output_item.done
    3  response.content_part.added    L + 7  response.completed, or how else it ended

and in between `3 + e` for the delta after which the client has `e` characters. A client
can resume after any of these numbers.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from llamakeep.api.http import sse
from llamakeep.api.openai.answering import CancelOnDisconnect
from llamakeep.api.openai.errors import error_of
from llamakeep.api.openai.ids import id_of
from llamakeep.api.openai.responses.items import MESSAGE, output_item, output_part
from llamakeep.api.openai.responses.rendering import beginning_of, response_of
from llamakeep.domain import Run
from llamakeep.domain.output import tape_of
from llamakeep.engine import Delta, Ended, Engine, Position, Reset, Update
from llamakeep.errors import LlamaKeepError, RunInterrupted
from llamakeep.schemas.json_text import (
    cut,
    filled,
    gathered,
    in_pieces,
    to_json,
)
from llamakeep.storage.runs.long_texts import STORED

LAST_OPENING = 3
NOTHING_SEEN = -1

_ENDINGS = {
    "completed": "response.completed",
    "failed": "response.failed",
    "incomplete": "response.incomplete",
    # OpenAI has no event for it; the event's response has the status.
    "cancelled": "response.incomplete",
}


async def events(
    engine: Engine,
    run: Run,
    *,
    prefix: str,
    after: int = NOTHING_SEEN,
    length: int | None = None,
    leaving: CancelOnDisconnect | None = None,
) -> AsyncIterator[bytes]:
    """
    Yield the encoded events of `run` until its end or an error.

    Simultaneous events are one piece, since each piece costs a system call. The client
    has all events up to number `after`. If the run has ended and some were sent,
    `length` is that of its tape.
    """
    numbered = _NumberedEvents(run, after)
    if opening := b"".join(numbered.beginning()):
        yield opening
    try:
        position = _position(run, after, length)
        async with aclosing(engine.follow(run, position)) as updates:
            async for update in updates:
                if isinstance(update, Ended) and update.text is not None:
                    pieces = numbered.end(update.run, update.text.length)
                    async for piece in filled(pieces, update.text.pieces):
                        yield piece
                    continue
                for batch in gathered(numbered.of(update)):
                    for piece in cut(batch):
                        yield piece
    except LlamaKeepError as error:
        error.run_id = run.id
        yield numbered.error(error, prefix)
    if leaving is not None:
        leaving.is_watching = False


class _NumberedEvents:
    """Numbers the events, and leaves out those that the client has."""

    def __init__(self, run: Run, after: int) -> None:
        self._run = run
        self._item_id = id_of(run, MESSAGE)
        # JSON written by hand, for the most frequent event: 1.8 µs instead of 4.1.
        self._place = b'{"item_id":"%b","output_index":0,"content_index":0' % (
            self._item_id.encode()
        )
        self._has_holes = False
        self._last = after
        """The number of the last event that the client has."""

    def beginning(self) -> Iterator[bytes]:
        facts = to_json({"response": beginning_of(self._run)})
        for number, kind in enumerate(("response.created", "response.in_progress")):
            if number > self._last:
                self._last = number
                yield _frame(kind, number, facts)

    def of(self, update: Update) -> Iterator[bytes]:
        """
        Yield the events for `update`.

        Raises:
            RunInterrupted: The run was started again, so the client's text is invalid.
        """
        match update:
            case Delta(text, position):
                yield from self._message()
                self._last = LAST_OPENING + position.offset
                facts = b'%b,"delta":%b,"logprobs":[]}' % (self._place, to_json(text))
                yield _frame("response.output_text.delta", self._last, facts)
            case Ended(run):
                yield from self.end(run)
            case Reset():
                raise _restarted()
            case _:
                yield sse.KEEP_ALIVE

    def error(self, error: LlamaKeepError, prefix: str) -> bytes:
        """
        Return the event of an error that ends the stream, but not the run.

        It has the number of the previous event, so that a client that resumes after it
        misses nothing.
        """
        body = error_of(error, prefix)["error"]
        facts = {"code": body["code"], "message": body["message"], "param": None}
        return _frame("error", max(self._last, 0), to_json(facts))

    def _message(self) -> Iterator[bytes]:
        """Yield the events that open the message, once."""
        if self._last >= LAST_OPENING:
            return
        item = {
            "id": self._item_id,
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        yield from self._event(
            2, "response.output_item.added", {"output_index": 0, "item": item}
        )
        yield from self._text(
            3, "response.content_part.added", {"part": output_part("")}
        )

    def end(self, run: Run, stored: int | None = None) -> Iterator[bytes]:
        """
        Yield the events after the last delta.

        If its text is still in storage, `stored` is its length, and it is replaced by
        holes.
        """
        if stored is not None:
            run, self._has_holes = replace(run, response=STORED), True
        response = response_of(run)
        status = response["status"]
        if stored is None:
            stored = len(tape_of(run.output, run.response))
        number = LAST_OPENING + stored
        if status in {"completed", "incomplete"}:
            yield from self._message()
            yield from self._text(
                number + 1,
                "response.output_text.done",
                {"text": run.response, "logprobs": []},
            )
            yield from self._text(
                number + 2,
                "response.content_part.done",
                {"part": output_part(run.response)},
            )
            item = output_item(run, status)
            yield from self._event(
                number + 3,
                "response.output_item.done",
                {"output_index": 0, "item": item},
            )
        yield from self._event(number + 4, _ENDINGS[status], {"response": response})

    def _text(self, number: int, kind: str, facts: dict[str, Any]) -> Iterator[bytes]:
        place = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
        yield from self._event(number, kind, place | facts)

    def _event(self, number: int, kind: str, facts: dict[str, Any]) -> Iterator[bytes]:
        if number > self._last:
            self._last = number
            if self._has_holes:
                yield from _in_pieces(kind, number, facts)
            else:
                yield _frame(kind, number, to_json(facts))


def _position(run: Run, after: int, length: int | None) -> Position:
    """Return the position in the text of a client that has the event `after`."""
    offset = max(0, after - LAST_OPENING)
    if length is None or offset <= length:
        return Position(offset)
    # The client has the events after the text, or a longer text of an earlier attempt.
    # Only if there was one attempt is it certain which.
    if run.attempt > 1:
        raise _restarted()
    return Position(length)


def _restarted() -> RunInterrupted:
    return RunInterrupted(
        "The server had to begin this answer again, so what came so far is not its "
        "beginning, and nothing more is sent. The run continues, and its whole text is "
        "kept: retrieve the response without `stream`."
    )


def _frame(kind: str, number: int, facts: bytes) -> bytes:
    """Encode one event; `facts` is a JSON object on one line."""
    return sse.encode(_opening(kind, number) + facts[1:], kind)


def _in_pieces(kind: str, number: int, facts: dict[str, Any]) -> Iterator[bytes]:
    """Encode one event in pieces, with holes in place of stored texts."""
    pieces = in_pieces(facts)
    yield sse.opening(kind) + _opening(kind, number) + next(pieces)[1:]
    yield from pieces
    yield sse.END


def _opening(kind: str, number: int) -> bytes:
    return b'{"type":"%b","sequence_number":%d,' % (kind.encode(), number)
